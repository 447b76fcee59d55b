"""Milliseconds from small logits to a full-size label map, for every implementation.

    python benchmarks/label_upsampling.py
    python benchmarks/label_upsampling.py --checkpoint runs/camvid/best.pt --images street*.jpg

Subjects take turns in shuffled rounds, so that all run under the same conditions. Noise is the
worst case: a border everywhere. With a checkpoint, its logits on the images, resized to the
output's size, are the usual case; if more classes are requested than it has, weaker copies of its
own are added. The plain forms and strips use all of torch's threads, the others one. Ratios are to
the fastest plain form on the same logits. NHWC is torch's channels_last.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from eseg.checkpoint import load_checkpoint
from eseg.deploy.benchmark.environment import describe_environment
from eseg.engines import upsampling_torch as from_torch
from eseg.runtime import upsampling as from_numpy

OUTPUT = Path("benchmarks/results/label_upsampling.json")
STRIDE = 8

Size = tuple[int, int]


@dataclass(frozen=True)
class Subject:
    """One implementation: `run` maps (logits, size) to (labels, confidence or None)."""

    name: str
    run: Callable[[Any, Size], tuple[Any, Any]]
    channels_last: bool = False  # the memory format of its logits; networks on CPUs give this one
    array: bool = False  # True if it takes (classes, height, width) of NumPy, as engines give it
    numba: bool = True


def plain(logits: Tensor, size: Size) -> tuple[Tensor, None]:
    """Upsample everything, then take the most probable class: the obvious form."""
    full = F.interpolate(logits, size, mode="bilinear", align_corners=False)
    return full.argmax(1).byte(), None


def plain_max(logits: Tensor, size: Size) -> tuple[Tensor, None]:
    """Use `max` in place of `argmax`, which is faster in torch on CPUs."""
    full = F.interpolate(logits, size, mode="bilinear", align_corners=False)
    return full.max(1).indices.byte(), None


def plain_with_confidence(logits: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Return the maximum of the softmax too."""
    full = F.interpolate(logits, size, mode="bilinear", align_corners=False)
    confidence, labels = full.softmax(1).max(1)
    return labels.byte(), confidence


def strips(logits: Tensor, size: Size) -> tuple[Tensor, None]:
    """Run the form for devices other than a CPU."""
    labels = torch.empty(len(logits), *size, dtype=torch.uint8)
    from_torch._write_strips(logits, labels, None)
    return labels, None


def torch_labels(logits: Tensor, size: Size) -> tuple[Tensor, None]:
    """Take and return tensors."""
    return from_torch.upsample_labels(logits, size), None


def numpy_labels(logits: np.ndarray, size: Size) -> tuple[np.ndarray, None]:
    """Take and return arrays."""
    return from_numpy.upsample_labels(logits, size), None


SUBJECTS = (
    Subject("plain, NCHW", plain),
    Subject("plain, NHWC", plain, channels_last=True),
    Subject("plain by max, NCHW", plain_max),
    Subject("plain by max, NHWC", plain_max, channels_last=True),
    Subject("strips, NHWC", strips, channels_last=True),
    Subject("NumPy, from tensors", torch_labels, channels_last=True, numba=False),
    Subject("Numba, from tensors", torch_labels, channels_last=True),
    Subject("NumPy", numpy_labels, array=True, numba=False),
    Subject("Numba", numpy_labels, array=True),
    Subject("plain + confidence, NCHW", plain_with_confidence),
    Subject("plain + confidence, NHWC", plain_with_confidence, channels_last=True),
    Subject(
        "NumPy + confidence",
        from_numpy.upsample_labels_with_confidence,
        array=True,
        numba=False,
    ),
    Subject("Numba + confidence", from_numpy.upsample_labels_with_confidence, array=True),
)


def prepare(subject: Subject, logits: Tensor) -> Any:
    """Convert logits, (1, classes, height, width), to the input of the subject."""
    if subject.array:
        return logits[0].numpy()
    layout = torch.channels_last if subject.channels_last else torch.contiguous_format
    return logits.to(memory_format=layout, copy=True)


def run(subject: Subject, logits: Any, size: Size) -> tuple[float, Any, Any]:
    """Return seconds, labels and confidence of one call."""
    compiled = from_numpy._compiled if subject.numba else lambda: None
    with mock.patch.object(from_numpy, "_compiled", compiled):
        begin = time.perf_counter()
        labels, confidence = subject.run(logits, size)
        return time.perf_counter() - begin, labels, confidence


def compare(subject: Subject, logits: Tensor, size: Size) -> dict[str, float]:
    """Compare labels and confidence with those of the plain form."""
    full = F.interpolate(logits, size, mode="bilinear", align_corners=False)[0]
    _, labels, confidence = run(subject, prepare(subject, logits), size)
    labels = torch.as_tensor(labels).reshape(size).long()
    gap = full.amax(0) - full.gather(0, labels[None])[0]
    differs = labels != full.argmax(0)
    result = {
        "disagreement": differs.double().mean().item(),
        "largest_logit_gap": gap[differs].max().item() if differs.any() else 0.0,
    }
    if confidence is not None:
        error = torch.as_tensor(confidence).reshape(size) - full.softmax(0).amax(0)
        result["largest_confidence_error"] = error.abs().max().item()
    return result


def border_share(logits: Tensor) -> float:
    """Return the share of cells between four neighbouring logits whose winners differ."""
    winners = logits.argmax(1)
    corner = winners[:, :-1, :-1]
    others = winners[:, :-1, 1:], winners[:, 1:, :-1], winners[:, 1:, 1:]
    uniform = torch.stack([corner == other for other in others]).all(0)
    return 1 - uniform.double().mean().item()


def checkpoint_logits(options: argparse.Namespace) -> list[Tensor]:
    """Compute a network's logits on the images, each resized to the output's size."""
    model = load_checkpoint(options.checkpoint).build_model().fold()
    model.to(memory_format=torch.channels_last)
    height, width = options.size
    result = []
    for path in options.images:
        with Image.open(path) as file:
            pixels = np.array(
                file.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
            )
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            result.append(model.logits(image).contiguous())
    return result


def fill_up(logits: Tensor, classes: int) -> Tensor:
    """Append copies of the first classes, lowered by the standard deviation of the logits."""
    missing = classes - logits.shape[1]
    return torch.cat([logits, logits[:, :missing] - logits.std()], dim=1)


def make_cases(options: argparse.Namespace) -> dict[str, list[Tensor]]:
    """Return one or several examples of every kind of logits, by name."""
    generator = torch.Generator().manual_seed(options.seed)
    height, width = (side // STRIDE for side in options.size)
    cases = {}
    if options.checkpoint:
        real = checkpoint_logits(options)
        own = real[0].shape[1]
        cases[f"checkpoint, {own} classes"] = real
        for classes in options.classes:
            if own < classes <= 2 * own:
                name = f"checkpoint filled up, {classes} classes"
                cases[name] = [fill_up(logits, classes) for logits in real]
    for classes in options.classes:
        noise = torch.randn(1, classes, height, width, generator=generator)
        cases[f"noise, {classes} classes"] = [noise]
    return cases


def measure(examples: list[Tensor], options: argparse.Namespace) -> dict[str, Any]:
    """Time all subjects on one kind of logits."""
    size = tuple(options.size)
    inputs = {s.name: [prepare(s, logits) for logits in examples] for s in SUBJECTS}
    seconds: dict[str, list[float]] = {s.name: [] for s in SUBJECTS}
    shuffle = random.Random(options.seed)
    for round_number in range(-options.warmup, options.rounds):
        for subject in shuffle.sample(SUBJECTS, len(SUBJECTS)):
            logits = inputs[subject.name][round_number % len(examples)]
            elapsed, _, _ = run(subject, logits, size)
            if round_number >= 0:
                seconds[subject.name].append(elapsed)
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    rows = {}
    for subject in SUBJECTS:
        with_confidence = "confidence" in subject.name
        plains = [n for n in medians if "plain" in n and ("confidence" in n) == with_confidence]
        fastest = min(medians[name] for name in plains)
        low, high = np.percentile(seconds[subject.name], [5, 95])
        checked = [compare(subject, logits, size) for logits in examples]
        rows[subject.name] = {
            "median_ms": round(medians[subject.name] * 1e3, 3),
            "p5_ms": round(low * 1e3, 3),
            "p95_ms": round(high * 1e3, 3),
            "times_fastest_plain": round(medians[subject.name] / fastest, 4),
            **{key: max(one[key] for one in checked) for key in checked[0]},
        }
    return {
        "border_share": round(float(np.mean([border_share(x) for x in examples])), 4),
        "examples": len(examples),
        "subjects": rows,
    }


def print_table(case: str, result: dict[str, Any]) -> None:
    """Show one kind of logits."""
    table = Table(title=f"{case}: {result['border_share']:.1%} of the cells on borders")
    table.add_column("milliseconds", no_wrap=True)
    for column in ("median", "p5", "p95", "/ plain", "differs"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, row in result["subjects"].items():
        times = (f"{row[key]:.1f}" for key in ("median_ms", "p5_ms", "p95_ms"))
        table.add_row(
            name, *times, f"{row['times_fastest_plain']:.3f}", f"{row['disagreement']:.0e}"
        )
    Console().print(table)


def main() -> None:
    """Measure every kind of logits, print tables and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--checkpoint", type=Path, help="network for the usual case")
    parser.add_argument("--images", nargs="+", type=Path, default=[], help="its input")
    parser.add_argument("--size", nargs=2, type=int, default=(1024, 2048), metavar=("H", "W"))
    parser.add_argument("--classes", nargs="+", type=int, default=[19, 11])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--warmup", type=int, default=3, help="rounds before measuring")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    if bool(options.checkpoint) != bool(options.images):
        parser.error("--checkpoint and --images go together")

    begin = time.perf_counter()
    if from_numpy._compiled() is None:
        parser.error("Numba is one of the subjects: pip install 'eseg[fast]'")
    start_up = time.perf_counter() - begin
    results = {}
    for name, examples in make_cases(options).items():
        results[name] = measure(examples, options)
        print_table(name, results[name])
    report = {
        "results": results,
        "settings": {
            "size": list(options.size),
            "stride": STRIDE,
            "rounds": options.rounds,
            "warmup": options.warmup,
            "seed": options.seed,
        },
        "threads": {"torch": torch.get_num_threads(), "labels_numpy": 1},
        "numba_start_up_s": round(start_up, 3),  # importing it, and compiling or reading its cache
        "environment": describe_environment(("eseg", "numba", "numpy", "torch")),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
