"""Tables of the README, made from benchmarks/results.

    python benchmarks/tables.py

The text between `<!-- begin NAME -->` and `<!-- end NAME -->` is replaced. Rows have at most 120
characters.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from eseg.deploy.benchmark.profile import PAPER, profile_presets
from eseg.models import PRESETS

README = Path("README.md")
RESULTS = Path("benchmarks/results")


def load(name: str) -> dict[str, Any] | None:
    """Read a result; return None if it has not been measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def family() -> str:
    """Tabulate parameters and multiply-accumulates of the presets beside the paper's."""
    lines = [
        "| preset | encoder | levels | BiFPN | parameters (paper) | MACs at 1024x2048 (paper) |",
        "|---|---|---|---|---|---|",
    ]
    for name, counted in profile_presets().items():
        config, paper = PRESETS[name], PAPER[name]
        encoder = config.backbone
        if encoder == "lite":
            encoder = f"Lite, width {config.width}, depth {config.depth}"
        params = "-" if paper.parameters is None else f"{paper.parameters / 1e6:.1f} M"
        macs = "-" if paper.macs is None else f"{paper.macs / 1e9:g} B"
        lines.append(
            f"| `{name}` | {encoder} | P{config.min_level}-P{config.max_level} | "
            f"{config.channels} x {config.repeats} | {counted.parameters / 1e6:.1f} M ({params}) | "
            f"{counted.macs / 1e9:.1f} G ({macs}) |"
        )
    return "\n".join(lines)


Row = tuple[str, str, dict[str, Any]]
"""Subject of a measurement, its figure, and the part of the result that names the machine."""


def camvid() -> Iterator[Row]:
    """Yield the accuracy of a network trained from scratch on real street scenes."""
    if result := load("camvid_cpu_1h"):
        minutes = result["wall_clock_minutes"]
        yield (
            "ESeg-Lite-S from scratch on CamVid train (367 images), val",
            f"mIoU **{result['miou']:.3f}** in {minutes:.0f} minutes of wall-clock",
            result,
        )


def self_training() -> Iterator[Row]:
    """Yield the accuracy with and without pseudo-labels where labels are few."""
    for name in ("self_training_camvid", "self_training_camvid_longer"):
        if result := load(name):
            miou, start = result["mean_miou"], result["student_from"] or "scratch"
            yield (
                f"CamVid with {result['labelled_images']} of 367 labels, "
                f"{len(result['seeds'])} seeds, {result['steps']['student']} steps from {start}",
                f"mIoU {miou['teacher']:.3f} teacher, {miou['student']:.3f} student, "
                f"{miou['control']:.3f} control",
                result,
            )


def streets() -> Iterator[Row]:
    """Yield the accuracy of small patches, and with and without the paper's levels, on scenes."""
    if result := load("streets_difficulty"):
        forest = result["forest"]
        yield (
            "`streets`: random forest on 15x15 RGB patches",
            f"mIoU {max(forest['uniform']['miou'], forest['balanced']['miou']):.2f}",
            forest,
        )
        if levels := result.get("levels"):
            far, near = (statistics.mean(levels[key]) for key in ("P3-P9", "P3-P5"))
            yield (
                f"`streets`: Lite-S, {levels['steps']} steps, 2 seeds",
                f"mIoU {far:.3f} with P3-P9, {near:.3f} with P3-P5",
                levels,
            )


def inference() -> Iterator[Row]:
    """Yield the time from image to labels on every engine, of one interleaved run."""
    if result := load("inference_speed"):
        plain, *others = result["subjects"]
        yield (
            f"Lite-S at 1024x2048, image to labels: {plain['name']}, {result['threads']} threads",
            f"{plain['whole_ms']['median']:.0f} ms",
            result,
        )
        for subject in others:
            inside = subject["outputs"] == "labels"
            figure = f"{subject['ratio']:.2f} of that time"
            if subject["agreement"] < 0.999:
                figure += f"; {100 * subject['agreement']:.1f} % of labels equal to fp32"
            yield (
                f"the same: {subject['engine']}, {subject['precision']}, "
                f"{'labels inside' if inside else 'labels stage of eseg'}",
                figure,
                result,
            )


def int8() -> Iterator[Row]:
    """Yield the accuracy of networks in 8 bits."""
    if result := load("int8_accuracy"):
        for form, row in result["results"].items():
            yield (
                f"Lite-S in 8 bits ({form}), CamVid val at its own size",
                f"mIoU {100 * row['miou']['checkpoint']:.2f} to {100 * row['miou']['int8']:.2f}; "
                f"{100 * row['agreement']:.1f} % of labels equal to fp32",
                result,
            )


def training() -> Iterator[Row]:
    """Yield the speed of training."""
    if result := load("training_throughput"):
        for preset, measured in result["results"].items():
            yield (
                f"training `{preset}`, 8 crops of 256x512",
                f"{measured['images_per_second']:.1f} images/s, "
                f"{measured['peak_memory_mib'] / 1024:.1f} GiB",
                result,
            )


def processes() -> Iterator[Row]:
    """Yield the speed of training with one and with two processes."""
    if result := load("process_throughput"):
        one, two = (result["results"][count]["images_per_second"] for count in ("1", "2"))
        yield (
            "training Lite-S with 1 / with 2 processes of one thread",
            f"{one:.1f} / {two:.1f} images/s",
            result,
        )


def loss() -> Iterator[Row]:
    """Yield memory and time of the loss in strips beside those of the plain form."""
    if result := load("loss_memory"):
        for measured in result["results"].values():
            case = measured["case"]
            yield (
                f"loss and gradient, {case['classes']} classes, {case['images']} crops of "
                f"{case['height']}x{case['width']}: in strips / plain",
                f"{measured['memory_mib']['strips']:.0f} / {measured['memory_mib']['plain']:.0f} "
                f"MiB, {measured['time_ratio']:.2f} of the time",
                result,
            )


def interruptions() -> Iterator[Row]:
    """Yield the outcome of interruptions."""
    for name, task in (("kill_training", "training"), ("kill_pseudo_label", "pseudo-labelling")):
        if result := load(name):
            same = "the same result, bit for bit" if result["identical"] else "ANOTHER RESULT"
            yield f"{task} killed {len(result['kills'])} times by SIGKILL", same, result


def loading() -> Iterator[Row]:
    """Yield the speed of reading as a multiple of that of training."""
    if result := load("loading_throughput"):
        for row in result["rows"]:
            if row["times_training"] is not None:
                height, width = row["crop"]
                yield (
                    f"loading 1024x2048 PNGs, {height}x{width} crops, workers: {row['workers']}",
                    f"{row['images_per_second']:.1f} images/s, {row['times_training']:.1f} times "
                    "the rate of training Lite-S",
                    result,
                )


def doctor() -> Iterator[Row]:
    """Yield the speed of checking a data set."""
    if result := load("planted_faults"):
        yield (
            "`eseg doctor` on CamVid, everything checked",
            f"{result['camvid']['pairs_per_minute']:,} images per minute",
            result,
        )


TABLES = {
    "accuracy": (camvid, self_training, streets),
    "inference": (inference, int8),
    "training": (training, processes, loss, interruptions, loading, doctor),
}


def results(parts: tuple[Callable[[], Iterator[Row]], ...]) -> str:
    """Tabulate measurements by machine, one row each."""
    tables: dict[str, list[str]] = {}
    for part in parts:
        for subject, figure, result in part():
            environment = result["environment"]
            machine = (
                environment.get("gpu") or f"{environment['cpu']}, {environment['cores']} cores"
            )
            tables.setdefault(machine, []).append(f"| {subject} | {figure} |")
    return "\n\n".join(
        "\n".join((f"| on {machine} | figure |", "|---|---|", *rows))
        for machine, rows in tables.items()
    )


def fill(text: str, name: str, table: str) -> str:
    """Replace the text between a pair of marks."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"{README} has no {begin} ... {end}")
    return pattern.sub(lambda _: f"{begin}\n{table}\n{end}", text)


def main() -> None:
    """Rewrite the README in place."""
    text = README.read_text(encoding="utf-8")
    text = fill(text, "family", family())
    for name, parts in TABLES.items():
        text = fill(text, name, results(parts))
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
