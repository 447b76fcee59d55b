"""Report of a verification: a table, notes, and the image that differs most."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageFilter

from eseg.deploy.verify.verification import ComparedImage, Verification, percent
from eseg.reports.picture_sheet import Panel, Row, fitted, paint_sheet, painted, shown_classes
from eseg.reports.table import Table
from eseg.runtime.class_table import Colour

_MARK: Colour = (255, 0, 80)
_FADED = 0.6
"""Share of white in the picture that the marks lie on."""


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
    images = [
        Panel(fitted(worst.image, cell), worst.name),
        Panel(fitted(marked(worst), cell), equal),
    ]
    labels = [
        Panel(painted(worst.expected, classes, cell), "checkpoint"),
        Panel(painted(worst.given, classes, cell), "file"),
    ]
    return paint_sheet(
        [Row(images), Row(labels)],
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
