"""Fill the README's tables of results from benchmarks/results.

    python benchmarks/tables.py

Everything between `<!-- begin NAME -->` and `<!-- end NAME -->` is replaced.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eseg.deploy.profile import PAPER, profile_presets
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


def results() -> str:
    """What has been measured, one line each, with the machine."""
    lines = ["| what | figure | machine |", "|---|---|---|"]

    def add(what: str, figure: str, result: dict[str, Any]) -> None:
        environment = result["environment"]
        machine = environment.get("gpu") or f"{environment['cpu']}, {environment['cores']} cores"
        lines.append(f"| {what} | {figure} | {machine} |")

    if camvid := load("camvid_cpu_1h"):
        add(
            "ESeg-Lite-S from scratch on CamVid train (367 images), val mIoU",
            f"**{camvid['miou']:.3f}** in {camvid['wall_clock_minutes']:.0f} minutes of wall-clock",
            camvid,
        )
    if difficulty := load("streets_difficulty"):
        forest = difficulty["forest"]
        add(
            "`streets`: random forest on 15x15 RGB patches, mIoU",
            f"{max(forest['uniform']['miou'], forest['balanced']['miou']):.2f}",
            forest,
        )
        if levels := difficulty.get("levels"):
            far, near = (statistics.mean(levels[key]) for key in ("P3-P9", "P3-P5"))
            add(
                f"`streets`: Lite-S with P3-P9 / with P3-P5, {levels['steps']} steps, two seeds",
                f"{far:.3f} / {near:.3f} mIoU",
                levels,
            )
    if speed := load("inference_speed"):
        plain, *others = speed["subjects"]
        add(
            f"Lite-S at 1024x2048, image to labels: {plain['name']}, {speed['threads']} threads",
            f"{plain['whole_ms']['median']:.0f} ms",
            speed,
        )
        for subject in others:
            add(
                f"the same: {subject['engine']}, {subject['precision']}"
                + (", labels inside" if subject["outputs"] == "labels" else ", our labels stage"),
                f"{subject['ratio']:.2f} of that",
                speed,
            )
    if training := load("training_throughput"):
        for preset, measured in training["results"].items():
            add(
                f"training `{preset}`, 8 crops of 256x512",
                f"{measured['images_per_second']:.1f} images/s, "
                f"{measured['peak_memory_mib'] / 1024:.1f} GiB",
                training,
            )
    if loading := load("loading_throughput"):
        for row in loading["rows"]:
            if row["times_training"] is not None:
                height, width = row["crop"]
                add(
                    f"loading 1024x2048 PNGs, {height}x{width} crops, workers: {row['workers']}",
                    f"{row['images_per_second']:.1f} images/s, {row['times_training']:.1f} times "
                    "what training Lite-S takes",
                    loading,
                )
    return "\n".join(lines)


def fill(text: str, name: str, make: Callable[[], str]) -> str:
    """Replace what stands between a pair of marks."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"{README} has no {begin} ... {end}")
    return pattern.sub(lambda _: f"{begin}\n{make()}\n{end}", text)


def main() -> None:
    """Rewrite the README in place."""
    text = README.read_text(encoding="utf-8")
    for name, make in (("family", family), ("results", results)):
        text = fill(text, name, make)
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
