"""What a person looks at after a run: sheets of images with their labels, and a learning curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from eseg.runtime.class_table import IGNORE_INDEX, ClassTable
from eseg.runtime.pictures import (
    DIM,
    INK,
    NO_LABEL,
    PAPER,
    Colour,
    colourise,
    legend_entries,
    legend_strip,
    stacked,
)

SheetRow: TypeAlias = tuple[np.ndarray, np.ndarray | None, np.ndarray]
"""An image, its true mask if there is one, and the predicted mask; all of one height and width."""

_FAINT = (232, 232, 232)
_LOSS, _MIOU = "#3b6ea5", "#c2571a"


def picture_sheet(
    rows: Sequence[SheetRow],
    classes: ClassTable,
    titles: tuple[str, str, str] = ("image", "truth", "prediction"),
    captions: Sequence[str] | None = None,
    cell: int = 480,
) -> Image.Image:
    """Image, truth and prediction side by side, one row per sample, with a legend beneath.

    The column of truths is left out where no row has one.

    Args:
        rows: What to show; at least one row.
        classes: Names and colours.
        titles: The headings of the three columns.
        captions: A line of text above each row, such as its name and mIoU.
        cell: Side in pixels of the square that every picture is fitted into.

    Returns:
        An RGB picture, about three times `cell` wide.

    Raises:
        ValueError: If there is not one caption per row.
    """
    if captions is not None and len(captions) != len(rows):
        raise ValueError(f"{len(captions)} captions for {len(rows)} rows of pictures")
    any_truth = any(truth is not None for _, truth, _ in rows)
    columns = [title for title, shown in zip(titles, (True, any_truth, True), strict=True) if shown]
    gap = max(6, cell // 40)
    width = gap + len(columns) * (cell + gap)
    font_size = max(13, cell // 28)

    strips = [_text_strip(columns, width, gap, font_size, INK)]
    for index, (image, truth, prediction) in enumerate(rows):
        if captions is not None:
            strips.append(_text_strip([captions[index]], width, gap, font_size, DIM))
        pictures = [_fitted(image, cell, Image.Resampling.LANCZOS)]
        if truth is not None:
            pictures.append(_painted(truth, classes, cell))
        elif any_truth:
            pictures.append(Image.new("RGB", pictures[0].size, _FAINT))
        pictures.append(_painted(prediction, classes, cell))
        strips.append(_picture_strip(pictures, cell, gap))

    masks = [mask for row in rows for mask in row[1:] if mask is not None]
    shown = {int(i) for mask in masks for i in np.unique(mask)}
    entries = legend_entries(classes.names, classes.colours, shown)
    if IGNORE_INDEX in shown:
        entries.append(("no label", NO_LABEL))
    strips.append(legend_strip(entries, width, font_size, margin=gap))
    return stacked(strips)


def curve_png(history: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Draw a run's training loss (left axis) and validation mIoU (right axis) over its steps.

    Args:
        history: Records with a "step" and a "loss", a "miou" or both; other keys, and values that
            are None, are passed over.
        path: The PNG to write.
    """
    from matplotlib.figure import Figure  # half a second that nobody should wait for elsewhere

    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    loss_axes = figure.add_subplot()
    loss_axes.set_xlabel("training step")
    loss_axes.xaxis.set_major_formatter("{x:,.0f}")
    loss_axes.locator_params(axis="x", integer=True)
    loss_axes.spines["top"].set_visible(False)

    steps, losses = _series(history, "loss")
    loss_axes.set_ylabel("training loss (nats)", color=_LOSS)
    loss_axes.tick_params(axis="y", labelcolor=_LOSS)
    if steps:
        loss_axes.plot(steps, losses, color=_LOSS, alpha=0.25, linewidth=0.8)
        loss_axes.plot(steps, _smoothed(losses), color=_LOSS, linewidth=1.6)
        loss_axes.set_ylim(bottom=0)

    steps, mious = _series(history, "miou")
    if steps:
        miou_axes = loss_axes.twinx()
        miou_axes.spines["top"].set_visible(False)
        miou_axes.set_ylabel("validation mIoU", color=_MIOU)
        miou_axes.tick_params(axis="y", labelcolor=_MIOU)
        miou_axes.plot(steps, mious, color=_MIOU, linewidth=1.6, marker="o", markersize=3.5)
        best = max(range(len(mious)), key=mious.__getitem__)
        miou_axes.plot(steps[best], mious[best], color=_MIOU, marker="*", markersize=13)
        miou_axes.annotate(
            f"best {mious[best]:.3f} at step {steps[best]:,}",
            (steps[best], mious[best]),
            xytext=(0, 9),
            textcoords="offset points",
            ha="right" if steps[best] > sum(loss_axes.get_xlim()) / 2 else "left",
            color=_MIOU,
        )
        miou_axes.set_ylim(0, min(1.08, 1.2 * max(mious) + 1e-3))
    figure.savefig(path, format="png")


def _text_strip(
    texts: Sequence[str], width: int, gap: int, font_size: int, colour: Colour
) -> Image.Image:
    """One line with the texts at the left edges of equal columns."""
    strip = Image.new("RGB", (width, round(1.8 * font_size)), PAPER)
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(font_size)
    for column, text in enumerate(texts):
        position = (gap + column * (width - gap) // len(texts), strip.height - font_size // 3)
        draw.text(position, text, fill=colour, font=font, anchor="ls")
    return strip


def _picture_strip(pictures: Sequence[Image.Image], cell: int, gap: int) -> Image.Image:
    """Pictures of one size at the left edge of each column."""
    strip = Image.new("RGB", (gap + len(pictures) * (cell + gap), pictures[0].height + gap), PAPER)
    for column, picture in enumerate(pictures):
        strip.paste(picture, (gap + column * (cell + gap), gap // 2))
    return strip


def _painted(
    mask: UInt8[np.ndarray, "height width"], classes: ClassTable, cell: int
) -> Image.Image:
    """The mask in its classes' colours as large as a square of `cell` pixels allows."""
    return _fitted(colourise(mask, classes.colours), cell, Image.Resampling.NEAREST)


def _fitted(
    image: UInt8[np.ndarray, "height width 3"], cell: int, resampling: Image.Resampling
) -> Image.Image:
    """The picture as large as a square of `cell` pixels allows."""
    height, width = image.shape[:2]
    scale = cell / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(image).resize(size, resampling)


def _series(history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Steps and values of the records that hold the key."""
    points = [(record["step"], record[key]) for record in history if record.get(key) is not None]
    return [step for step, _ in points], [value for _, value in points]


def _smoothed(values: Sequence[float]) -> np.ndarray:
    """The mean of each value's neighbourhood, a fortieth of the curve wide."""
    window = np.ones(1 + len(values) // 40)
    return np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")
