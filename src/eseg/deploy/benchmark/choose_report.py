"""Report of a choice among the presets: a table, notes, a verdict and JSON."""

from __future__ import annotations

from typing import Any

from eseg.deploy.benchmark.benchmark import PACKAGES
from eseg.deploy.benchmark.choose import Choice
from eseg.deploy.benchmark.environment import describe_environment
from eseg.reports.table import Table


def choice_table(choice: Choice) -> Table:
    """Return the presets with their times here and the paper's accuracy; the best is strong."""
    height, width = choice.size
    rows = [
        (
            candidate.preset,
            f"{candidate.miou:.1f}",
            *candidate.profile.cells(),
            f"{candidate.times.median:.1f}",
            f"{candidate.times.p95:.1f}" if candidate.images > 1 else "-",
            f"{1000 / candidate.times.median:.1f}",
            "yes" if candidate.holds else "no",
        )
        for candidate in choice.candidates
    ]
    return Table(
        ("preset", "paper", "params", "MACs", "median", "p95", "fps", "holds"),
        rows,
        title=f"ms per image of {height}x{width} by {choice.engine}; {choice.fps:g} images/s allow "
        f"{1000 / choice.fps:.1f}",
        strong=frozenset(i for i, c in enumerate(choice.candidates) if c is choice.best),
    )


def choice_verdict(choice: Choice) -> str:
    """Return the answer in a sentence."""
    height, width = choice.size
    if choice.best is not None:
        return (
            f"{choice.best.preset} is the most accurate (by the paper's mIoU) that holds "
            f"{choice.fps:g} images/s at {height}x{width} here: 95 % of the images took at most "
            f"{choice.best.times.p95:.1f} ms"
        )
    none = f"no preset holds {choice.fps:g} images/s at {height}x{width} here"
    if choice.smaller_size is None:
        return f"{none}, nor at any smaller size tried; take a faster device or a lower `fps`"
    out = choice.smaller_size
    return (
        f"{none}; {out.preset} does at {out.size[0]}x{out.size[1]}, where 95 % of the images took "
        f"at most {out.times.p95:.1f} ms"
    )


def choice_notes(choice: Choice) -> list[str]:
    """Return notes for reading the table, a line each."""
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
    """Return everything for JSON: times in milliseconds."""
    best, smaller = choice.best, choice.smaller_size
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
        "best": best and best.preset,
        "smaller_size": smaller
        and {"name": smaller.preset, "size": smaller.size, "whole_ms": smaller.times.to_dict()},
        "environment": describe_environment(PACKAGES),
    }
