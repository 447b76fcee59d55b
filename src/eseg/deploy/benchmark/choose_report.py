"""What a person, or a program, gets to see of a choice among the presets."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table

from eseg.deploy.benchmark.benchmark import PACKAGES
from eseg.deploy.benchmark.choose import Choice
from eseg.deploy.benchmark.environment import describe_environment


def choice_table(choice: Choice) -> Table:
    """The presets with their times here and the paper's accuracy."""
    height, width = choice.size
    table = Table(
        title=f"ms per image of {height}x{width} by {choice.engine}; {choice.fps:g} images/s allow "
        f"{1000 / choice.fps:.1f}",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("preset", no_wrap=True)
    for heading in ("paper", "params", "MACs", "median", "p95", "fps", "holds"):
        table.add_column(heading, justify="right")
    for candidate in choice.candidates:
        times = candidate.times
        is_best = candidate is choice.best
        table.add_row(
            candidate.preset,
            f"{candidate.miou:.1f}",
            f"{candidate.profile.parameters / 1e6:.1f} M",
            f"{candidate.profile.macs / 1e9:.1f} G",
            f"{times.median:.1f}",
            f"{times.p95:.1f}" if candidate.images > 1 else "-",
            f"{1000 / times.median:.1f}",
            "yes" if candidate.holds else "no",
            style="bold" if is_best else "",
        )
    return table


def choice_verdict(choice: Choice) -> str:
    """The answer in a sentence."""
    height, width = choice.size
    if choice.best is not None:
        return (
            f"{choice.best.preset} is the most accurate (by the paper's mIoU) that holds "
            f"{choice.fps:g} images/s at {height}x{width} here: 95 % of the images took at most "
            f"{choice.best.times.p95:.1f} ms"
        )
    none = f"no preset holds {choice.fps:g} images/s at {height}x{width} here"
    if choice.way_out is None:
        return f"{none}, nor at any smaller size tried; take a faster device or a lower --fps"
    out = choice.way_out
    return (
        f"{none}; {out.preset} does at {out.size[0]}x{out.size[1]}, where 95 % of the images took "
        f"at most {out.times.p95:.1f} ms"
    )


def choice_notes(choice: Choice) -> list[str]:
    """What one has to know to read the table, a line each."""
    notes = [
        "holds: the 95th percentile from a uint8 image in memory to uint8 labels is within the "
        "rate; decoding is not counted",
        "paper: its mIoU on Cityscapes val, in per cent, as printed; not measured here",
        "random weights: their labels are near noise, which takes a little longer than the labels "
        "of a trained network",
    ]
    if len(choice.engines) > 1:
        tried = ", ".join(f"{name} {ms:.1f} ms" for name, ms in choice.engines.items())
        notes.append(f"engine: the fastest for {choice.candidates[0].preset} ({tried})")
    if any(candidate.images == 1 for candidate in choice.candidates):
        notes.append("without p95: far too slow, so a single image was timed")
    return notes


def choice_dict(choice: Choice) -> dict[str, Any]:
    """Everything for JSON: times in milliseconds."""
    out = choice.way_out
    return {
        "fps": choice.fps,
        "size": choice.size,
        "engine": choice.engine,
        "engines_ms": {name: round(ms, 4) for name, ms in choice.engines.items()},
        "presets": [
            {
                "name": candidate.preset,
                "paper_cityscapes_miou": candidate.miou,
                "parameters": candidate.profile.parameters,
                "macs": candidate.profile.macs,
                "whole_ms": candidate.times.to_dict(),
                "images": candidate.images,
                "holds": candidate.holds,
            }
            for candidate in choice.candidates
        ],
        "best": choice.best.preset if choice.best else None,
        "way_out": {"name": out.preset, "size": out.size, "whole_ms": out.times.to_dict()}
        if out
        else None,
        "environment": describe_environment(PACKAGES),
    }
