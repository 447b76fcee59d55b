"""Report on all rounds of self-training: a Markdown page, and the same figures as JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from eseg.checkpoint import load_checkpoint
from eseg.reports.score_report import format_score
from eseg.reports.table import Table
from eseg.runtime.writing import write_json, write_text
from eseg.self_training.pseudo_report import PseudoReport

_MAX_NAMED = 5
"""Skipped images that the page names; the JSON has all of them with their errors."""


@dataclass(frozen=True)
class Trained:
    """A network with its scores on the validation split.

    Attributes:
        checkpoint: Its file; curve and pictures of its run are beside it, if it is from one.
        names: Its classes.
        scores: Result of `Scores.to_dict`.
        is_best_of_run: True if these weights are known to be the best of their run on that split.
    """

    checkpoint: Path
    names: tuple[str, ...]
    scores: dict[str, Any]
    is_best_of_run: bool

    @classmethod
    def of_run(cls, checkpoint: Path) -> Trained:
        """Read the best checkpoint of a run with its scores.

        Raises:
            CheckpointError: The file cannot be read.
        """
        loaded = load_checkpoint(checkpoint)
        return cls(checkpoint, loaded.classes.names, loaded.scores, is_best_of_run=True)


class Round(NamedTuple):
    """A teacher's pseudo-labels and the network trained on them."""

    labels: PseudoReport
    student: Trained


def write_rounds_report(output: Path, teacher: Trained, rounds: Sequence[Round]) -> Path:
    """Write `report.md` and `report.json` about all rounds, at least one; return the page's path.

    Gains are relative to the first teacher. The pictures are those in the folders of the stages.

    Raises:
        OSError: A file cannot be written.
    """
    numbers = [""] if len(rounds) == 1 else [f" {number}" for number in range(1, len(rounds) + 1)]
    students = {f"student{n}": done.student for n, done in zip(numbers, rounds, strict=True)}
    networks = {"teacher": teacher} | students
    figures = {
        "classes": list(teacher.names),
        "teacher": _figures(teacher),
        "rounds": [
            {
                "pseudo_labels": done.labels.to_dict(),
                "student": _figures(done.student),
                "gain": _gain(done.student.scores["miou"], teacher.scores["miou"]),
                "gain_per_class": [
                    _gain(after, before)
                    for after, before in zip(
                        done.student.scores["iou"], teacher.scores["iou"], strict=True
                    )
                ],
            }
            for done in rounds
        ],
    }
    parts = [
        "# Self-training",
        _summary(teacher, rounds),
        "## IoU per class, on the validation split",
        _score_table(networks),
        *(part for i, done in enumerate(rounds, 1) for part in _round_parts(output, i, done)),
        "## Learning curves and predictions",
        *_run_pictures(output, networks),
    ]
    page = output / "report.md"
    write_json(output / "report.json", figures)
    write_text(page, "\n\n".join(parts) + "\n")
    return page


def _summary(teacher: Trained, rounds: Sequence[Round]) -> str:
    before, after = teacher.scores["miou"], rounds[-1].student.scores["miou"]
    whose = "Both are the best weights of their runs"
    if not teacher.is_best_of_run:
        whose = "The teacher was given; the student is the best weights of its run"
    return (
        f"mIoU {format_score(before)} (teacher) to {format_score(after)} (student): "
        f"**{_signed(_gain(after, before))}**, on the same validation split, at one scale. "
        f"{whose} on it.\n\nTeacher: `{teacher.checkpoint}`; student: "
        f"`{rounds[-1].student.checkpoint}`."
    )


def _score_table(networks: Mapping[str, Trained]) -> str:
    scores = [network.scores for network in networks.values()]
    names = next(iter(networks.values())).names
    rows = [_score_row(name, [x["iou"][index] for x in scores]) for index, name in enumerate(names)]
    totals = [
        _score_row("mean IoU", [x["miou"] for x in scores]),
        _score_row("pixel accuracy", [x["pixel_accuracy"] for x in scores]),
    ]
    headings = ["class", *networks, "gain"]
    return Table(headings, rows, totals, strong=frozenset({len(rows)})).to_markdown()


def _score_row(name: str, scores: Sequence[float | None]) -> list[str]:
    """Format one score of all networks, and the gain of the last over the first."""
    return [name, *map(format_score, scores), _signed(_gain(scores[-1], scores[0]))]


def _round_parts(output: Path, number: int, done: Round) -> list[str]:
    """Write the section about the pseudo-labels of one round."""
    labels, skipped = done.labels, list(done.labels.skipped)
    named = ", ".join(f"`{name}`" for name in skipped[:_MAX_NAMED])
    more = f" and {len(skipped) - _MAX_NAMED} more" if len(skipped) > _MAX_NAMED else ""
    missing = (
        f"Skipped because they cannot be read: {len(skipped)}, namely {named}{more} (`report.json` "
        "has the reasons)."
    )
    speed = f"; {labels.images_per_second:.2f} images/s" if labels.images_per_second else ""
    return [
        f"## Pseudo-labels of round {number}",
        f"{labels.images} images; {labels.kept_fraction:.1%} of their pixels kept{speed}.",
        *([missing] if skipped else []),
        labels.table().to_markdown(),
        _picture(output, labels.sheet, f"images and their pseudo-labels, round {number}"),
    ]


def _run_pictures(output: Path, networks: Mapping[str, Trained]) -> list[str]:
    return [
        _picture(output, network.checkpoint.with_name(file), f"{name}: {what}")
        for name, network in networks.items()
        for file, what in (("curve.png", "loss and mIoU"), ("sheet.png", "predictions"))
        if network.checkpoint.with_name(file).exists()
    ]


def _picture(output: Path, path: Path, text: str) -> str:
    place = Path(os.path.relpath(path.resolve(), output.resolve())).as_posix()
    return f"![{text}](<{place}>)"


def _figures(network: Trained) -> dict[str, Any]:
    return {"checkpoint": str(network.checkpoint), **network.scores}


def _gain(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"
