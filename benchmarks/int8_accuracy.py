"""Accuracy in 8-bit integers: a checkpoint's files in both formats, on real images.

    python benchmarks/int8_accuracy.py BEST.pt --data DATASET.yaml
    python benchmarks/int8_accuracy.py BEST.pt --data DATASET.yaml --folder FILES

Calibrated on images of the train split, measured on the val split, at the images' own size. The
files stay in `--folder` if it is given.
"""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from eseg.checkpoint import load_checkpoint
from eseg.deploy.benchmark.environment import describe_environment
from eseg.deploy.export.quantise import export_int8
from eseg.deploy.verify.verify import verify
from eseg.runtime.engine_table import EXPORT_FORMATS

OUTPUT = Path("benchmarks/results/int8_accuracy.json")
PACKAGES = ("eseg", "numpy", "onnx", "onnxruntime", "openvino", "nncf", "torch")


def main() -> None:
    """Export, compare, and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="data set YAML or built-in name")
    parser.add_argument("--root", type=Path, help="where the data lies")
    parser.add_argument("--folder", type=Path, help="where the files are to stay")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()

    checkpoint = load_checkpoint(options.checkpoint)
    data = checkpoint.data_config(options.data, options.root)
    rows: dict[str, Any] = {}
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(TemporaryDirectory()))
        for form in ("openvino", "onnx"):
            path = folder / f"{options.checkpoint.stem}_int8{EXPORT_FORMATS[form].suffix}"
            exported = export_int8(checkpoint, path, format=form, data=data)
            compared = verify(path, checkpoint, data)
            rows[form] = {
                "calibrated_on": exported.calibrated_on,
                "images": compared.images,
                "miou": {"checkpoint": compared.expected.miou, "int8": compared.given.miou},
                "agreement": compared.agreement,
                "agreement_of_worst_image": compared.worst.agreement,
                "megabytes": round(
                    path.with_suffix(".bin" if form == "openvino" else ".onnx").stat().st_size
                    / 1e6,
                    2,
                ),
            }
            print(form, json.dumps(rows[form]))
    report = {
        "data": str(options.data),
        "results": rows,
        "environment": describe_environment(PACKAGES),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
