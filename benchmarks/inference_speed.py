"""Times from image to labels on a CPU: every engine and the plain graph, in one run.

    python benchmarks/inference_speed.py BEST.pt --images FOLDER
    python benchmarks/inference_speed.py BEST.pt --images FOLDER --int8 BEST_1024x2048_int8.xml

Ratios are relative to the plain graph, with upsampling and argmax inside, in ONNX Runtime. Real
images are resized to the size and kept in memory. The share of the labels stage is measured on
them, and on noise for the worst case. Labels of every engine are compared with torch's.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

# Every network has a process of its own, which imports this file. Heavy imports are in the
# functions, so that the memory of exported networks is theirs alone.
if TYPE_CHECKING:
    from eseg.checkpoint import Checkpoint
    from eseg.choices import Outputs
    from eseg.deploy.benchmark.benchmark import Benchmark
    from eseg.deploy.benchmark.timed_network import Subject

OUTPUT = Path("benchmarks/results/inference_speed.json")

PLAIN, TORCH = "ONNX Runtime, labels inside", "torch"

EXPORTS: dict[str, tuple[str, str, Outputs]] = {
    PLAIN: ("onnxruntime", "onnx", "labels"),
    "ONNX Runtime": ("onnxruntime", "onnx", "logits"),
    "OpenVINO, labels inside": ("openvino", "openvino", "labels"),
    "OpenVINO": ("openvino", "openvino", "logits"),
}
"""Engine, format and outputs of the exported files."""


class NoiseLabels:
    """The labels stage on noise, where every cell is on a border between classes."""

    def __init__(self, form: str, logits: tuple[int, int, int], size: tuple[int, int]) -> None:
        values = np.random.default_rng(0).standard_normal(logits, dtype=np.float32)
        self._stage: Callable[[], object]
        if form == TORCH:
            import torch

            from eseg.engines import upsampling_torch as labels

            tensor = torch.from_numpy(values)[None]
            self._stage = partial(labels.upsample_labels, tensor, size)
        else:
            from eseg.runtime import upsampling as labels_numpy

            self._stage = partial(labels_numpy.upsample_labels, values, size)

    def turn(self, _: int) -> float:
        """Return the seconds of one call; another goes ahead untimed."""
        self._stage()
        start = time.perf_counter()
        self._stage()
        return time.perf_counter() - start


def make_subjects(checkpoint: Path, folder: Path, options: argparse.Namespace) -> list[Subject]:
    """Export the checkpoint for every engine, for the one size."""
    from eseg.deploy.benchmark.timed_network import Subject
    from eseg.deploy.export.export import export
    from eseg.runtime.engine_table import EXPORT_FORMATS, choose_engine

    subjects = []
    for name, (engine, form, outputs) in EXPORTS.items():
        path = folder / f"{engine}_{outputs}{EXPORT_FORMATS[form].suffix}"
        export(checkpoint, path, format=form, size=tuple(options.size), outputs=outputs)
        subjects.append(Subject(name, path, engine, threads=options.threads))
    subjects.append(Subject(TORCH, checkpoint, TORCH, threads=options.threads))
    for path in options.int8:
        engine = choose_engine(path)
        subjects.append(Subject(f"{path.name} {engine}", path, engine, threads=options.threads))
    return subjects


def measure_noise(checkpoint: Checkpoint, options: argparse.Namespace) -> dict[str, list[float]]:
    """Measure the seconds of the labels stage on noise, in torch and without torch."""
    from eseg.deploy.benchmark.processes import Remote
    from eseg.deploy.benchmark.timing import take_turns

    cells = [-(-side >> checkpoint.model.min_level) for side in options.size]
    shape, size = (len(checkpoint.classes), *cells), tuple(options.size)
    with (
        Remote("noise in torch", NoiseLabels, TORCH, shape, size) as in_torch,
        Remote("noise in NumPy", NoiseLabels, "NumPy", shape, size) as in_numpy,
    ):
        turns = {"torch": partial(in_torch.call, "turn"), "numpy": partial(in_numpy.call, "turn")}
        return take_turns(turns, options.rounds)


def summarise(result: Benchmark, noise: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Compute the labels stage's share of a frame and the share of labels equal to torch's."""
    from eseg.deploy.benchmark.timing import Times

    reference = next(m for m in result.measured if m.subject.name == TORCH).labels
    rows = {}
    for measured in result.measured:
        pairs = zip(measured.labels, reference, strict=True)
        equal = [float((labels == expected).mean()) for labels, expected in pairs]
        row: dict[str, Any] = {
            "agreement": round(float(np.mean(equal)), 6),
            "agreement_of_worst_image": round(min(equal), 6),
        }
        if measured.info.outputs == "logits":
            whole = Times.of(measured.seconds()).median
            own = Times.of(measured.seconds("labels")).median
            worst = Times.of(noise["torch" if measured.subject.engine == TORCH else "numpy"]).median
            row["labels_share"] = round(own / whole, 4)
            row["labels_share_on_noise"] = round(worst / (whole - own + worst), 4)
        rows[measured.subject.name] = row
    return rows


def print_summary(rows: dict[str, dict[str, Any]]) -> None:
    """Print the result of `summarise`."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="labels")
    table.add_column("subject")
    for heading in ("of a frame", "on noise", "as in torch", "worst image"):
        table.add_column(heading, justify="right")
    for name, row in rows.items():
        shares = (row.get("labels_share"), row.get("labels_share_on_noise"))
        table.add_row(
            name,
            *("inside" if share is None else f"{share:.1%}" for share in shares),
            f"{row['agreement']:.4%}",
            f"{row['agreement_of_worst_image']:.4%}",
        )
    Console().print(table)


def main() -> None:
    """Measure everything, print tables and write the figures."""
    from rich.console import Console

    from eseg.checkpoint import load_checkpoint
    from eseg.cli.screen import print_table
    from eseg.data.cores import physical_cores
    from eseg.deploy.benchmark.benchmark import benchmark
    from eseg.deploy.benchmark.benchmark_report import (
        benchmark_dict,
        benchmark_notes,
        benchmark_tables,
        benchmark_warnings,
        save_benchmark_plot,
    )
    from eseg.runtime.images import IMAGE_SUFFIXES

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--images", type=Path, required=True, help="folder of real images")
    parser.add_argument("--count", type=int, default=10, help="images, spread evenly over it")
    parser.add_argument("--size", nargs=2, type=int, default=(1024, 2048), metavar=("H", "W"))
    parser.add_argument("--int8", nargs="*", type=Path, default=[], help="exported files in 8 bits")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=physical_cores())
    parser.add_argument("--plot", type=Path, help="picture of the stages to write")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()

    files = sorted(f for f in options.images.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        parser.error(f"no images in {options.images}")
    chosen = np.linspace(0, len(files) - 1, min(options.count, len(files))).astype(int)
    with TemporaryDirectory() as folder:
        subjects = make_subjects(options.checkpoint, Path(folder), options)
        result = benchmark(
            subjects,
            size=tuple(options.size),
            images=[files[index] for index in chosen],
            rounds=options.rounds,
            with_labels=True,
        )
    noise = measure_noise(load_checkpoint(options.checkpoint), options)
    rows = summarise(result, noise)
    for table in benchmark_tables(result):
        print_table(table)
    for line in [*benchmark_notes(result), *benchmark_warnings(result)]:
        Console().print(line, highlight=False, soft_wrap=True)
    print_summary(rows)
    if options.plot:
        save_benchmark_plot(result, options.plot)
    report = benchmark_dict(result)
    for subject in report["subjects"]:
        subject.update(rows[subject["name"]])
    report["labels_on_noise_ms"] = {
        form: round(1000 * float(np.median(seconds)), 4) for form, seconds in noise.items()
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
