"""Broken exports of a trained checkpoint, each of which `eseg verify` has to catch.

    python benchmarks/broken_exports.py BEST.pt --stale LAST.pt --data DATASET.yaml

Each broken file has one mistake that exports are known for. What it says of itself is what a good
one says, so that only its labels can give it away.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch.nn.functional as F
from torch import Tensor

from eseg.checkpoint import Checkpoint, load_checkpoint
from eseg.config import DataConfig
from eseg.deploy.benchmark.environment import describe_environment
from eseg.deploy.export.onnx_format import onnx_model, save_onnx
from eseg.deploy.export.pixel_network import PixelNetwork
from eseg.deploy.verify.verify import verify
from eseg.models.layers import Normalize

PACKAGES = ("eseg", "numpy", "onnx", "onnxruntime", "torch")


class SwappedChannels(PixelNetwork):
    """A network that takes its input for BGR, as OpenCV gives images."""

    def forward(self, pixels: Tensor) -> Tensor:
        """See `PixelNetwork`."""
        return super().forward(pixels.flip(-1))


def networks(checkpoint: Checkpoint, stale: Checkpoint) -> Iterator[tuple[str, bool, PixelNetwork]]:
    """Good and broken forms of a checkpoint's network, to be exported before the next is asked for.

    Args:
        checkpoint: The network.
        stale: Another checkpoint of the same network: of an earlier or later step, or another seed.

    Yields:
        What it is, whether it is broken, and the network.
    """
    yield "good", False, PixelNetwork(checkpoint.build_model())
    yield "good, labels", False, PixelNetwork(checkpoint.build_model(), outputs="labels")

    model = checkpoint.build_model()
    model.normalize = Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    yield "other mean and std", True, PixelNetwork(model)
    yield "channels swapped", True, SwappedChannels(checkpoint.build_model())
    yield "stale weights", True, PixelNetwork(stale.build_model())

    def aligned(x: Tensor, size: tuple[int, int], *, mode: str, align_corners: bool) -> Tensor:
        return F.interpolate(x, size, mode=mode, align_corners=not align_corners)

    # The graph is traced by whoever receives the network, while the patch is in force.
    with mock.patch("eseg.deploy.export.pixel_network.F", SimpleNamespace(interpolate=aligned)):
        network = PixelNetwork(checkpoint.build_model(), outputs="labels")
        yield "align_corners flipped, labels", True, network


def measure(
    checkpoint: Checkpoint, stale: Checkpoint, data: DataConfig, limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """Export each of `networks` to ONNX and verify it.

    Args:
        checkpoint: The network.
        stale: See `networks`.
        data: Where the images come from.
        limit: How many images of the validation split; all if None.

    Yields:
        What the export is, whether the verdict is the right one, and the verdict.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        for name, broken, network in networks(checkpoint, stale):
            save_onnx(onnx_model(network), path, checkpoint.describe(outputs=network.outputs))
            result = verify(path, checkpoint, data, limit=limit)
            verdict = result.to_dict()
            del verdict["file"]
            right = (result.failure is not None) == broken
            yield {"export": name, "broken": broken, "verdict_is_right": right} | verdict


def main() -> None:
    """Measure a checkpoint and store the verdicts; exit code 1 if one is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--stale", type=Path, required=True, help="another checkpoint of the run")
    parser.add_argument("--data", type=Path, required=True, help="data set YAML")
    parser.add_argument("--root", type=Path, help="where the data lies")
    parser.add_argument("--limit", type=int, help="images to compare; all by default")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/broken_exports.json")
    )
    arguments = parser.parse_args()
    checkpoint, stale = load_checkpoint(arguments.checkpoint), load_checkpoint(arguments.stale)
    rows = []
    data = DataConfig(dataset=arguments.data, root=arguments.root)
    for row in measure(checkpoint, stale, data, arguments.limit):
        rows.append(row)
        print(f"{row['export']:36} {row['agreement']:9.4%} {'' if row['passed'] else 'caught'}")
    report = {
        "data": arguments.data.as_posix(),
        "steps": {"checkpoint": checkpoint.step, "stale": stale.step},
        "all_verdicts_are_right": all(row["verdict_is_right"] for row in rows),
        "rows": rows,
        "environment": describe_environment(PACKAGES),
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(not report["all_verdicts_are_right"])


if __name__ == "__main__":
    main()
