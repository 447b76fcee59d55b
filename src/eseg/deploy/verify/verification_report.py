"""Report of a verification: a table, notes, and the image that differs most."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from eseg.deploy.verify.verification import ComparedImage, Verification, percent
from eseg.reports.table import Table
from eseg.runtime.pictures import (
    INK,
    PAPER,
    Colour,
    colourise,
    legend_entries,
    legend_strip,
    stacked,
)
from eseg.runtime.writing import output_errors

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
    """Draw the image that differs most: itself, where it differs, and both sides' labels.

    Args:
        result: The verification.
        cell: Side in pixels of the square that each of the four pictures is fitted into.
    """
    worst, colours = result.worst, result.classes.colours
    font_size, gap = max(13, cell // 32), max(6, cell // 64)
    panels = [
        (worst.name, worst.image, Image.Resampling.LANCZOS),
        (
            f"{percent(worst.agreement)} equal, the rest marked",
            marked(worst),
            Image.Resampling.LANCZOS,
        ),
        ("checkpoint", colourise(worst.expected, colours), Image.Resampling.NEAREST),
        ("file", colourise(worst.given, colours), Image.Resampling.NEAREST),
    ]
    font = ImageFont.load_default(font_size)
    height, width = worst.image.shape[:2]
    scale = cell / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    row_height = size[1] + 2 * font_size
    grid = Image.new("RGB", (2 * size[0] + 3 * gap, 2 * row_height + gap), PAPER)
    draw = ImageDraw.Draw(grid)
    for index, (title, pixels, resampling) in enumerate(panels):
        left, top = gap + index % 2 * (size[0] + gap), index // 2 * row_height
        draw.text((left, top + font_size), title, fill=INK, font=font, anchor="lm")
        picture = Image.fromarray(pixels).resize(size, resampling)
        grid.paste(picture, (left, top + 2 * font_size))

    shown = {int(label) for label in np.unique([worst.expected, worst.given])}
    entries = legend_entries(result.classes.names, colours, shown)
    return stacked([grid, legend_strip(entries, grid.width, font_size, margin=gap)])


def save_worst_picture(result: Verification, path: Path) -> None:
    """Write `worst_picture` as PNG.

    Raises:
        OutputError: The file cannot be written.
    """
    with output_errors(path):
        worst_picture(result).save(path, format="PNG")


def marked(compared: ComparedImage) -> np.ndarray:
    """Fade an image and mark where the labels differ, each mark a pixel wider to be seen.

    Returns:
        uint8 RGB (height, width, 3).
    """
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
