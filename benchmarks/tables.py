"""Fill the README's tables of results from benchmarks/results.

    python benchmarks/tables.py

Everything between `<!-- begin NAME -->` and `<!-- end NAME -->` is replaced.
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
    """A result, or None where it has not been measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def family() -> str:
    """Parameters and multiply-accumulates of the presets, beside the paper's."""
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
"""What was measured, the figure, and the part of the result that names the machine."""


def camvid() -> Iterator[Row]:
    """A network of the family from scratch on real street scenes."""
    if result := load("camvid_cpu_1h"):
        minutes = result["wall_clock_minutes"]
        yield (
            "ESeg-Lite-S from scratch on CamVid train (367 images), val mIoU",
            f"**{result['miou']:.3f}** in {minutes:.0f} minutes of wall-clock",
            result,
        )


def self_training() -> Iterator[Row]:
    """What pseudo-labels bring where labels are few."""
    for name in ("self_training_camvid", "self_training_camvid_longer"):
        if result := load(name):
            miou, start = result["mean_miou"], result["student_from"] or "scratch"
            yield (
                f"CamVid with {result['labelled_images']} of 367 labels, mean of "
                f"{len(result['seeds'])} seeds: teacher / student / control without pseudo-labels, "
                f"both {result['steps']['student']} steps from {start}",
                f"{miou['teacher']:.3f} / {miou['student']:.3f} / {miou['control']:.3f} mIoU",
                result,
            )


def streets() -> Iterator[Row]:
    """That the procedural scenes need more than small patches, and the levels of the paper."""
    if result := load("streets_difficulty"):
        forest = result["forest"]
        yield (
            "`streets`: random forest on 15x15 RGB patches, mIoU",
            f"{max(forest['uniform']['miou'], forest['balanced']['miou']):.2f}",
            forest,
        )
        if levels := result.get("levels"):
            far, near = (statistics.mean(levels[key]) for key in ("P3-P9", "P3-P5"))
            yield (
                f"`streets`: Lite-S with P3-P9 / with P3-P5, {levels['steps']} steps, two seeds",
                f"{far:.3f} / {near:.3f} mIoU",
                levels,
            )


def inference() -> Iterator[Row]:
    """From image to labels on every engine, in one interleaved run."""
    if result := load("inference_speed"):
        plain, *others = result["subjects"]
        yield (
            f"Lite-S at 1024x2048, image to labels: {plain['name']}, {result['threads']} threads",
            f"{plain['whole_ms']['median']:.0f} ms",
            result,
        )
        for subject in others:
            inside = subject["outputs"] == "labels"
            figure = f"{subject['ratio']:.2f} of that"
            if subject["agreement"] < 0.999:
                figure += f"; {100 * subject['agreement']:.1f} % of the labels are fp32's"
            yield (
                f"the same: {subject['engine']}, {subject['precision']}, "
                f"{'labels inside' if inside else 'our labels stage'}",
                figure,
                result,
            )


def int8() -> Iterator[Row]:
    """What 8 bits cost in accuracy."""
    if result := load("int8_accuracy"):
        for form, row in result["results"].items():
            yield (
                f"Lite-S in 8 bits ({form}), CamVid val at its own size",
                f"mIoU {100 * row['miou']['checkpoint']:.2f} to {100 * row['miou']['int8']:.2f}; "
                f"{100 * row['agreement']:.1f} % of the labels are fp32's",
                result,
            )


def training() -> Iterator[Row]:
    """How fast the presets train here."""
    if result := load("training_throughput"):
        for preset, measured in result["results"].items():
            yield (
                f"training `{preset}`, 8 crops of 256x512",
                f"{measured['images_per_second']:.1f} images/s, "
                f"{measured['peak_memory_mib'] / 1024:.1f} GiB",
                result,
            )


def processes() -> Iterator[Row]:
    """What a second process brings."""
    if result := load("process_throughput"):
        one, two = (result["results"][count]["images_per_second"] for count in ("1", "2"))
        yield (
            "training Lite-S with 1 / with 2 processes of one thread",
            f"{one:.1f} / {two:.1f} images/s",
            result,
        )


def loss() -> Iterator[Row]:
    """Memory and time of the loss in strips, as shares of the plain form's."""
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
    """That what is killed comes to the same end."""
    for name, what in (("kill_training", "training"), ("kill_pseudo_label", "pseudo-labelling")):
        if result := load(name):
            same = "the same end, bit for bit" if result["identical"] else "ANOTHER END"
            yield f"{what} killed {len(result['kills'])} times by SIGKILL", same, result


def loading() -> Iterator[Row]:
    """Whether reading keeps up with training."""
    if result := load("loading_throughput"):
        for row in result["rows"]:
            if row["times_training"] is not None:
                height, width = row["crop"]
                yield (
                    f"loading 1024x2048 PNGs, {height}x{width} crops, workers: {row['workers']}",
                    f"{row['images_per_second']:.1f} images/s, {row['times_training']:.1f} times "
                    "what training Lite-S takes",
                    result,
                )


def doctor() -> Iterator[Row]:
    """How fast a data set is checked."""
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
    """A table of what has been measured, one line each, with the machine."""
    lines = ["| what | figure | machine |", "|---|---|---|"]
    for part in parts:
        for what, figure, result in part():
            environment = result["environment"]
            machine = (
                environment.get("gpu") or f"{environment['cpu']}, {environment['cores']} cores"
            )
            lines.append(f"| {what} | {figure} | {machine} |")
    return "\n".join(lines)


def fill(text: str, name: str, table: str) -> str:
    """Replace what stands between a pair of marks."""
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
