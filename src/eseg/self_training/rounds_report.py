"""What self-training brought: a page for people, and the same figures as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eseg.checkpoint import load_checkpoint
from eseg.runtime.writing import replacing
from eseg.self_training.pseudo_report import PseudoReport

_NAMED = 5
"""Skipped images that the page names; the other file has all of them, and what is wrong."""


@dataclass(frozen=True)
class Trained:
    """A network with its scores on the validation split.

    Attributes:
        checkpoint: Its file; the curve and the pictures of its run lie beside it, if it is from
            one.
        names: Its classes.
        scores: What `Scores.to_dict` gives.
        is_best_of_run: Whether these weights are known to be the best of their run on that split.
    """

    checkpoint: Path
    names: tuple[str, ...]
    scores: dict[str, Any]
    is_best_of_run: bool

    @classmethod
    def of_run(cls, checkpoint: Path) -> Trained:
        """Read the best checkpoint of a run; the scores are in it.

        Raises:
            CheckpointError: The file cannot be read.
        """
        loaded = load_checkpoint(checkpoint)
        return cls(checkpoint, loaded.classes.names, loaded.scores, is_best_of_run=True)


@dataclass(frozen=True)
class Round:
    """One round of self-training.

    Attributes:
        labels: What the teacher made of the unlabelled images.
        student: The network that learnt from them.
    """

    labels: PseudoReport
    student: Trained


def write_report(output: Path, teacher: Trained, rounds: Sequence[Round]) -> Path:
    """Write `report.md` and `report.json` about all rounds.

    Args:
        output: The folder to write to.
        teacher: The first teacher, which gains are counted from.
        rounds: The rounds in order, at least one.

    Returns:
        The page, in Markdown; its pictures are those in the folders of the stages.

    Raises:
        OSError: A file cannot be written.
    """
    figures = {
        "classes": list(teacher.names),
        "teacher": _figures(teacher),
        "rounds": [
            {"pseudo_labels": done.labels.to_dict(), "student": _figures(done.student)}
            | {"gain": _gain(done.student.scores["miou"], teacher.scores["miou"])}
            | {"gain_per_class": _gains(done.student, teacher)}
            for done in rounds
        ],
    }
    parts = [
        "# Self-training",
        _summary(teacher, rounds),
        "## IoU per class, on the validation split",
        _score_table(teacher, rounds),
        *(part for i, done in enumerate(rounds, 1) for part in _round_parts(output, i, done)),
        "## Learning curves and predictions",
        *_run_pictures(output, [("teacher", teacher), *_students(rounds)]),
    ]
    page = output / "report.md"
    for path, text in (
        (output / "report.json", json.dumps(figures, indent=2)),
        (page, "\n\n".join(parts)),
    ):
        with replacing(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    return page


def _students(rounds: Sequence[Round]) -> list[tuple[str, Trained]]:
    if len(rounds) == 1:
        return [("student", rounds[0].student)]
    return [(f"student {number}", done.student) for number, done in enumerate(rounds, 1)]


def _summary(teacher: Trained, rounds: Sequence[Round]) -> str:
    before, after = teacher.scores["miou"], rounds[-1].student.scores["miou"]
    whose = "Both are the best weights of their runs"
    if not teacher.is_best_of_run:
        whose = "The teacher was given; the student is the best weights of its run"
    return (
        f"mIoU {_score(before)} (teacher) to {_score(after)} (student): "
        f"**{_signed(_gain(after, before))}**, on the same validation split, at one scale. "
        f"{whose} on it.\n\nTeacher: `{teacher.checkpoint}`; student: "
        f"`{rounds[-1].student.checkpoint}`."
    )


def _score_table(teacher: Trained, rounds: Sequence[Round]) -> str:
    students = _students(rounds)
    last = students[-1][1]
    columns = [teacher, *(student for _, student in students)]
    rows = [
        [name, *(_score(c.scores["iou"][i]) for c in columns), _signed(_gains(last, teacher)[i])]
        for i, name in enumerate(teacher.names)
    ]
    for key, title in (("miou", "**mean IoU**"), ("pixel_accuracy", "pixel accuracy")):
        gain = _gain(last.scores[key], teacher.scores[key])
        rows.append([title, *(_score(column.scores[key]) for column in columns), _signed(gain)])
    return _table(["class", "teacher", *(name for name, _ in students), "gain"], rows)


def _round_parts(output: Path, number: int, done: Round) -> list[str]:
    """The pseudo-labels of one round."""
    labels = done.labels
    speed = f"; {labels.images_per_second:.2f} images/s" if labels.images_per_second else ""
    rows = [
        [entry.name, f"{entry.threshold:g}", _score(entry.kept_fraction), _score(entry.share)]
        for entry in labels.classes
    ]
    return [
        f"## Pseudo-labels of round {number}",
        f"{labels.images} images; {labels.kept_fraction:.1%} of their pixels kept{speed}.",
        *_skipped(list(labels.skipped)),
        _table(["class", "threshold", "kept of its pixels", "share of kept pixels"], rows),
        _picture(output, labels.sheet, f"images and their pseudo-labels, round {number}"),
    ]


def _skipped(names: Sequence[str]) -> list[str]:
    """A paragraph about images that have no pseudo-labels, if there are any."""
    if not names:
        return []
    named = ", ".join(f"`{name}`" for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [
        f"Skipped, for they could not be read: {len(names)}, namely {named}{more} (`report.json` "
        "says why)."
    ]


def _run_pictures(output: Path, networks: Iterable[tuple[str, Trained]]) -> list[str]:
    return [
        _picture(output, network.checkpoint.with_name(file), f"{name}: {what}")
        for name, network in networks
        for file, what in (("curve.png", "loss and mIoU"), ("sheet.png", "predictions"))
        if network.checkpoint.with_name(file).exists()
    ]


def _picture(output: Path, path: Path, text: str) -> str:
    place = Path(os.path.relpath(path.resolve(), output.resolve())).as_posix()
    return f"![{text}](<{place}>)"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---", *("---:" for _ in headings[1:])], *rows]
    return "\n".join(f"| {' | '.join(x.replace('|', '&#124;') for x in row)} |" for row in lines)


def _figures(network: Trained) -> dict[str, Any]:
    return {"checkpoint": str(network.checkpoint), **network.scores}


def _gains(after: Trained, before: Trained) -> list[float | None]:
    pairs = zip(after.scores["iou"], before.scores["iou"], strict=True)
    return [_gain(*pair) for pair in pairs]


def _gain(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"
