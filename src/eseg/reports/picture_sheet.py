"""Sheets of pictures: rows of panels with headings, captions and a legend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from eseg.errors import OutputError
from eseg.runtime.class_table import IGNORE_INDEX, ClassTable, Colour
from eseg.runtime.pictures import (
    DIM,
    INK,
    NO_LABEL,
    PAPER,
    colourise,
    legend_entries,
    legend_strip,
    shortened,
    stacked,
)
from eseg.runtime.writing import output_errors

Comparison: TypeAlias = tuple[np.ndarray, np.ndarray | None, np.ndarray]
"""An image, its true mask if there is one, and the predicted mask; all of one height and width."""

_FAINT: Colour = (232, 232, 232)
_CAPTION_SIZE = 11


@dataclass(frozen=True)
class Panel:
    """One picture of a sheet.

    Attributes:
        picture: RGB, at the size at which it is shown.
        heading: Text above the picture, or "".
        caption: Text in the picture's lower left corner, white on black, or "".
    """

    picture: Image.Image
    heading: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Row:
    """Panels side by side.

    Attributes:
        panels: At least one.
        caption: A line of text above the row, or "".
    """

    panels: Sequence[Panel]
    caption: str = ""


def paint_sheet(
    rows: Sequence[Row],
    *,
    titles: Sequence[tuple[str, int]] = (),
    legend: Sequence[tuple[str, Colour]] = (),
    font_size: int = 16,
    gap: int = 8,
    column_width: int = 0,
) -> Image.Image:
    """Lay out rows of panels in columns; text that does not fit is shortened in its middle.

    Args:
        rows: At least one.
        titles: Lines above all rows, each with its size in pixels; the first is darker.
        legend: Names and colours, shown below all rows.
        font_size: Size in pixels of headings, captions of rows and legend.
        gap: White pixels around panels.
        column_width: Least width of a column; a column is as wide as its widest panel.

    Returns:
        An RGB picture.
    """
    widths = [column_width] * max(len(row.panels) for row in rows)
    for row in rows:
        for column, panel in enumerate(row.panels):
            widths[column] = max(widths[column], panel.picture.width)
    lefts = [gap + sum(widths[:column]) + column * gap for column in range(len(widths))]
    inner, width = sum(widths) + (len(widths) - 1) * gap, lefts[-1] + widths[-1] + gap

    strips = [
        _text_strip([(text, gap, inner)], width, size, DIM if index else INK)
        for index, (text, size) in enumerate(titles)
    ] or [Image.new("RGB", (width, gap // 2), PAPER)]
    for row in rows:
        headings = [panel.heading for panel in row.panels]
        if any(headings):
            columns = zip(headings, lefts, widths, strict=False)  # a row may be short
            strips.append(_text_strip(columns, width, font_size, INK))
        if row.caption:
            strips.append(_text_strip([(row.caption, gap, inner)], width, font_size, DIM))
        strips.append(_panel_strip(row.panels, lefts, width, gap))
    if legend:
        strips.append(legend_strip(legend, width, font_size, margin=gap))
    return stacked(strips)


def picture_sheet(
    rows: Sequence[Comparison],
    classes: ClassTable,
    titles: tuple[str, str, str] = ("image", "truth", "prediction"),
    captions: Sequence[str] | None = None,
    cell: int = 480,
) -> Image.Image:
    """Draw image, truth and prediction side by side, one row per sample, with a legend below.

    The column of truths is left out where no row has one.

    Args:
        rows: At least one sample.
        classes: Names and colours.
        titles: Headings of the three columns.
        captions: A line of text above each row, such as its name and mIoU.
        cell: Side in pixels of the square that every picture is fitted into.

    Returns:
        An RGB picture, about three times `cell` wide.

    Raises:
        ValueError: If there is not one caption per row.
    """
    captions = [""] * len(rows) if captions is None else captions
    if len(captions) != len(rows):
        raise ValueError(f"{len(captions)} captions for {len(rows)} rows of pictures")
    any_truth = any(truth is not None for _, truth, _ in rows)
    sheet_rows = []
    for index, (image, truth, prediction) in enumerate(rows):
        pictures = [fitted(image, cell), painted(prediction, classes, cell)]
        headings = [titles[0], titles[2]] if index == 0 else ["", ""]
        if any_truth:
            blank = Image.new("RGB", pictures[0].size, _FAINT)
            pictures.insert(1, blank if truth is None else painted(truth, classes, cell))
            headings.insert(1, titles[1] if index == 0 else "")
        sheet_rows.append(Row(list(map(Panel, pictures, headings)), captions[index]))
    return paint_sheet(
        sheet_rows,
        legend=shown_classes(classes, (mask for row in rows for mask in row[1:])),
        font_size=max(13, cell // 28),
        gap=max(6, cell // 40),
        column_width=cell,
    )


def shown_classes(
    classes: ClassTable, masks: Iterable[np.ndarray | None]
) -> list[tuple[str, Colour]]:
    """Return the legend of the classes that occur in some masks, "no label" included."""
    shown = {label for mask in masks if mask is not None for label in np.unique(mask).tolist()}
    entries = legend_entries(classes.names, classes.colours, shown)
    return [*entries, ("no label", NO_LABEL)] if IGNORE_INDEX in shown else entries


def painted(mask: UInt8[np.ndarray, "height width"], classes: ClassTable, cell: int) -> Image.Image:
    """Paint a mask in its classes' colours, as large as a square of `cell` pixels allows."""
    return fitted(colourise(mask, classes.colours), cell, Image.Resampling.NEAREST)


def fitted(
    image: UInt8[np.ndarray, "height width 3"],
    cell: int,
    resampling: Image.Resampling = Image.Resampling.LANCZOS,
) -> Image.Image:
    """Resize a picture to be as large as a square of `cell` pixels allows."""
    height, width = image.shape[:2]
    scale = cell / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(image).resize(size, resampling)


def save_picture(picture: Image.Image, path: Path, *, argument: str = "output") -> None:
    """Write a picture in the format of its name's suffix; its folder is made if necessary.

    Args:
        picture: The picture.
        path: The file.
        argument: The Python argument that names the file, for messages.

    Raises:
        OutputError: The file cannot be written, or its suffix is not that of a picture format.
    """
    with output_errors(path, argument):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            picture.save(path)
        except ValueError as error:
            raise OutputError(
                f"{path}: cannot be written ({error}); end `{argument}` in .png"
            ) from None


def _text_strip(
    texts: Iterable[tuple[str, int, int]], width: int, font_size: int, colour: Colour
) -> Image.Image:
    """Write texts on one line, each given with its left edge and the width of its place."""
    strip = Image.new("RGB", (width, round(1.8 * font_size)), PAPER)
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(font_size)
    for text, left, room in texts:
        position = (left, strip.height - font_size // 3)
        draw.text(position, shortened(text, font, room), fill=colour, font=font, anchor="ls")
    return strip


def _panel_strip(
    panels: Sequence[Panel], lefts: Sequence[int], width: int, gap: int
) -> Image.Image:
    """Paste pictures at the left edges of their columns, with their captions."""
    height = max(panel.picture.height for panel in panels)
    strip = Image.new("RGB", (width, height + gap), PAPER)
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(_CAPTION_SIZE)
    for panel, left in zip(panels, lefts, strict=False):
        strip.paste(panel.picture, (left, gap // 2))
        if panel.caption:
            text = shortened(panel.caption, font, panel.picture.width - 8)
            right, bottom = left + round(font.getlength(text)) + 8, gap // 2 + panel.picture.height
            draw.rectangle((left, bottom - 16, right, bottom - 1), fill=INK)
            draw.text((left + 4, bottom - 8), text, fill=PAPER, font=font, anchor="lm")
    return strip
