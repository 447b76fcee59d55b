"""Result of a verification, and its report: a table, notes, and the image that differs most."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from eseg.metrics import Scores
from eseg.reports.picture_sheet import Panel, Row, fitted, paint_sheet, painted, shown_classes
from eseg.reports.table import Table
from eseg.runtime.class_table import ClassTable, Colour
from eseg.runtime.network_info import NetworkInfo

_MARK: Colour = (255, 0, 80)
_FADED = 0.6
"""Share of white in the picture that the marks lie on."""


@dataclass(frozen=True)
class Tolerance:
    """Largest accepted difference between an exported file and its checkpoint."""

    agreement: float
    """Share of all pixels that must get the checkpoint's label, in [0, 1]."""
    max_drop: float
    """Points of mIoU, of 100, that may be lost."""


@dataclass(frozen=True)
class LogitsDifference:
    """Absolute differences of an image's logits, as shares of the range of the checkpoint's."""

    largest: float
    mean: float


@dataclass(frozen=True)
class ComparedImage:
    """One image as checkpoint and file label it."""

    name: str
    """The sample's name, unique in its split."""
    image: np.ndarray
    """The image as both have seen it, uint8 RGB (height, width, 3)."""
    expected: np.ndarray
    """The checkpoint's labels, uint8 (height, width)."""
    given: np.ndarray
    """The file's labels."""

    @property
    def agreement(self) -> float:
        """Share of the pixels that have the same label."""
        return float((self.expected == self.given).mean())


@dataclass(frozen=True)
class Verification:
    """Comparison of an exported file with its checkpoint."""

    file: Path
    """The exported file."""
    info: NetworkInfo
    """Its description."""
    engine: str
    """Engine that ran it."""
    classes: ClassTable
    images: int
    """Number of images."""
    resized: int
    """Number of them that were resized to the only size that the file takes."""
    agreement: float
    """Share of all pixels that have the same label."""
    labelled_agreement: float
    """The same among the pixels whose true class is known."""
    expected: Scores
    """The checkpoint's scores."""
    given: Scores
    """The file's scores."""
    worst: ComparedImage
    """The image with the lowest agreement."""
    logits: LogitsDifference | None
    """Distance between the logits of that image; None for a file of labels."""
    clues: tuple[str, ...]
    """Likely explanations of the differences, a line each."""
    tolerance: Tolerance

    @property
    def drop(self) -> float:
        """Points of mIoU, of 100, that the file loses; below 0 if it is better."""
        return 100 * (self.expected.miou - self.given.miou)

    @property
    def failure(self) -> str | None:
        """Reason why the file does not pass, in one line; None if it passes."""
        if not self.agreement >= self.tolerance.agreement:
            return (
                f"only {percent(self.agreement)} of the labels are the checkpoint's; at least "
                f"{100 * self.tolerance.agreement:g} % must be"
            )
        if not self.drop <= self.tolerance.max_drop:
            return (
                f"{self.drop:.2f} points of mIoU are lost; at most {self.tolerance.max_drop:g} "
                "may be"
            )
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the picture, as JSON can hold it."""
        expected, given = self.expected.to_dict(), self.given.to_dict()
        return {
            "file": str(self.file),
            "engine": self.engine,
            "precision": self.info.precision,
            "outputs": self.info.outputs,
            "size": self.info.size,
            "images": self.images,
            "resized": self.resized,
            "passed": self.failure is None,
            "failure": self.failure,
            "clues": self.clues,
            "tolerance": asdict(self.tolerance),
            "agreement": self.agreement,
            "labelled_agreement": self.labelled_agreement,
            "miou": {"checkpoint": expected["miou"], "file": given["miou"]},
            "drop": self.drop,
            "classes": self.classes.names,
            "iou": {"checkpoint": expected["iou"], "file": given["iou"]},
            "worst": {"name": self.worst.name, "agreement": self.worst.agreement},
            "logits": None if self.logits is None else asdict(self.logits),
        }


def percent(share: float) -> str:
    """Format a share in per cent, rounded down: less than 100 % must not read as 100 %."""
    return f"{math.floor(1e5 * share) / 1e3:g} %"


def verification_table(result: Verification) -> Table:
    """Return the IoU of checkpoint and file per class."""
    rows = zip(result.classes.names, result.expected.iou, result.given.iou, strict=True)
    return Table(
        ("class", "checkpoint", "file", "points"),
        [(name, *_cells(expected, given)) for name, expected, given in rows],
        totals=[("mean IoU", *_cells(result.expected.miou, result.given.miou))],
        strong=frozenset({len(result.classes)}),
    )


def worst_picture(result: Verification, cell: int = 640) -> Image.Image:
    """Draw the image that differs most, where it differs, and the labels of both sides.

    Each of the four pictures is fitted into a square of `cell` pixels.
    """
    worst, classes = result.worst, result.classes
    equal = f"{percent(worst.agreement)} equal, the rest marked"
    pictures = fitted(worst.image, cell), fitted(marked(worst), cell)
    labels = painted(worst.expected, classes, cell), painted(worst.given, classes, cell)
    return paint_sheet(
        [
            Row(list(map(Panel, pictures, (worst.name, equal)))),
            Row(list(map(Panel, labels, ("checkpoint", "file")))),
        ],
        legend=shown_classes(classes, (worst.expected, worst.given)),
        font_size=max(13, cell // 32),
        gap=max(6, cell // 64),
        column_width=cell // 2,
    )


def marked(compared: ComparedImage) -> np.ndarray:
    """Fade the uint8 RGB image and mark where labels differ, one pixel wider on each side."""
    differs = Image.fromarray(compared.expected != compared.given).convert("L")
    wider = np.asarray(differs.filter(ImageFilter.MaxFilter(3))) > 0
    faded = compared.image * (1 - _FADED) + 255 * _FADED
    return np.where(wider[..., None], np.array(_MARK, np.uint8), faded.astype(np.uint8))


def verification_notes(result: Verification) -> list[str]:
    """Return the figures that the verdict rests on, a line each."""
    info, worst, tolerance = result.info, result.worst, result.tolerance
    lines = [
        f"{result.images} images through {result.engine} ({info.precision}, {info.outputs})",
        f"equal labels: {percent(result.agreement)}, wanted {100 * tolerance.agreement:g} %; "
        f"where the truth is known {percent(result.labelled_agreement)}",
        f"mIoU: {_points(-result.drop, 3)} points, allowed -{tolerance.max_drop:g}",
        f"worst image: {worst.name}, {percent(worst.agreement)} equal",
    ]
    if result.resized:
        lines[0] += f"; {result.resized} of them resized to {'{}x{}'.format(*info.size or ())}"
    if result.logits is not None:
        lines.append(
            f"logits of the worst image: {result.logits.mean:.1e} of their range apart on average, "
            f"{result.logits.largest:.1e} at most"
        )
    return lines + [f"clue: {clue}" for clue in result.clues]


def _cells(expected: float, given: float) -> tuple[str, str, str]:
    """Format both IoUs, and the file's gain in points of 100; a dash for a class that is absent."""
    shown = ["-" if math.isnan(iou) else f"{iou:.4f}" for iou in (expected, given)]
    gain = 100 * (given - expected)
    return shown[0], shown[1], "-" if math.isnan(gain) else _points(gain, 2)


def _points(gain: float, digits: int) -> str:
    """Format a gain with its sign, which for zero is always plus."""
    return f"{round(gain, digits) + 0.0:+.{digits}f}"
