"""Label maps as pictures: colours, overlays, legends, sheets; and a run's learning curve."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsInt, TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from eseg.data.dataset import IGNORE_INDEX, ClassTable

Colour: TypeAlias = tuple[int, int, int]
SheetRow: TypeAlias = tuple[np.ndarray, np.ndarray | None, np.ndarray]
"""An image, its true mask if there is one, and the predicted mask; all of one height and width."""

_PAPER, _INK, _DIM, _FAINT = (255, 255, 255), (30, 30, 30), (110, 110, 110), (232, 232, 232)
_NO_LABEL = (0, 0, 0)
_LOSS, _MIOU = "#3b6ea5", "#c2571a"


def colourise(
    mask: UInt8[np.ndarray, "height width"], classes: ClassTable
) -> UInt8[np.ndarray, "height width 3"]:
    """Paint every pixel in its class's colour.

    Args:
        mask: Class ids; `IGNORE_INDEX`, like every other id outside the table, becomes black.
        classes: Whose colours to use.

    Returns:
        RGB in [0, 255].
    """
    return _palette(classes)[mask]


def palette_image(mask: UInt8[np.ndarray, "height width"], classes: ClassTable) -> Image.Image:
    """A mask as a palette picture: viewers show the colours, programs read the ids.

    Args:
        mask: Class ids; stored as they are, `IGNORE_INDEX` too, whose colour is black.
        classes: Whose colours to use.

    Returns:
        A Pillow image of mode "P", to be saved as PNG.
    """
    image = Image.fromarray(mask)
    image.putpalette(_palette(classes).tobytes())
    return image


def overlay(
    image: UInt8[np.ndarray, "height width 3"],
    mask: UInt8[np.ndarray, "height width"],
    classes: ClassTable,
    alpha: float = 0.5,
) -> UInt8[np.ndarray, "height width 3"]:
    """Lay the classes' colours over an image; pixels without a label stay as they are.

    Args:
        image: RGB in [0, 255].
        mask: Class ids at the image's size, or `IGNORE_INDEX`.
        classes: Whose colours to use.
        alpha: Share of the colours in [0, 1]; 0 leaves the image, 1 hides it.

    Returns:
        RGB in [0, 255].
    """
    colours = colourise(mask, classes)
    blended = image + alpha * (colours.astype(np.float32) - image)
    return np.where(mask[..., None] < len(classes), blended.round().astype(np.uint8), image)


def with_legend(
    image: UInt8[np.ndarray, "height width 3"],
    classes: ClassTable,
    present: Iterable[SupportsInt] | None = None,
) -> UInt8[np.ndarray, "out_height out_width 3"]:
    """Put a strip beneath an image that names the classes' colours.

    The text grows with the image and never gets too small to read: an image narrower than the
    longest name gets a white margin at its right instead.

    Args:
        image: RGB in [0, 255], found unchanged in the result's upper left corner.
        classes: Names and colours.
        present: Ids of the classes to name, all if None. `np.unique(mask)` will do: ids outside
            the table, such as `IGNORE_INDEX`, are passed over.

    Returns:
        RGB in [0, 255].
    """
    width = image.shape[1]
    shown = range(len(classes)) if present is None else {int(i) for i in present}
    font_size = max(13, width // 64)
    legend = _legend(_entries(classes, shown), width, font_size, margin=font_size // 2)
    return np.array(_stacked([Image.fromarray(image), legend]))


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

    strips = [_text_strip(columns, width, gap, font_size, _INK)]
    for index, (image, truth, prediction) in enumerate(rows):
        if captions is not None:
            strips.append(_text_strip([captions[index]], width, gap, font_size, _DIM))
        pictures = [_fitted(image, cell, Image.Resampling.LANCZOS)]
        if truth is not None:
            pictures.append(_fitted(colourise(truth, classes), cell, Image.Resampling.NEAREST))
        elif any_truth:
            pictures.append(Image.new("RGB", pictures[0].size, _FAINT))
        pictures.append(_fitted(colourise(prediction, classes), cell, Image.Resampling.NEAREST))
        strips.append(_picture_strip(pictures, cell, gap))

    masks = [mask for row in rows for mask in row[1:] if mask is not None]
    shown = {int(i) for mask in masks for i in np.unique(mask)}
    entries = _entries(classes, shown)
    if IGNORE_INDEX in shown:
        entries.append(("no label", _NO_LABEL))
    strips.append(_legend(entries, width, font_size, margin=gap))
    return _stacked(strips)


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


def _palette(classes: ClassTable) -> UInt8[np.ndarray, "256 3"]:
    """The colour of every 8-bit id; black for those that are no class."""
    palette = np.full((256, 3), _NO_LABEL, dtype=np.uint8)
    palette[: len(classes)] = classes.colours
    return palette


def _entries(classes: ClassTable, shown: Collection[int]) -> list[tuple[str, Colour]]:
    """Name and colour of the classes that are shown, in the order of their ids."""
    pairs = zip(classes.names, classes.colours, strict=True)
    return [pair for i, pair in enumerate(pairs) if i in shown]


def _legend(
    entries: Sequence[tuple[str, Colour]], width: int, font_size: int, margin: int
) -> Image.Image:
    """Swatches with names in equal columns, as many as fit; wider than asked if not one does."""
    font = ImageFont.load_default(font_size)
    space, line = font_size // 2, round(1.6 * font_size)
    longest = max((math.ceil(font.getlength(name)) for name, _ in entries), default=0)
    column = font_size + space + longest + 2 * space
    lines = math.ceil(len(entries) / max(1, (width - margin) // column))
    columns = math.ceil(len(entries) / max(1, lines))  # of about equal length
    legend = Image.new("RGB", (max(width, margin + column), lines * line + 2 * margin), _PAPER)
    draw = ImageDraw.Draw(legend)
    for index, (name, colour) in enumerate(entries):
        x = margin + index % columns * column
        middle = margin + index // columns * line + line // 2
        top = middle - font_size // 2
        draw.rectangle((x, top, x + font_size, top + font_size), fill=colour, outline=_DIM)
        draw.text((x + font_size + space, middle), name, fill=_INK, font=font, anchor="lm")
    return legend


def _text_strip(
    texts: Sequence[str], width: int, gap: int, font_size: int, colour: Colour
) -> Image.Image:
    """One line with the texts at the left edges of equal columns."""
    strip = Image.new("RGB", (width, round(1.8 * font_size)), _PAPER)
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(font_size)
    for column, text in enumerate(texts):
        position = (gap + column * (width - gap) // len(texts), strip.height - font_size // 3)
        draw.text(position, text, fill=colour, font=font, anchor="ls")
    return strip


def _picture_strip(pictures: Sequence[Image.Image], cell: int, gap: int) -> Image.Image:
    """Pictures of one size at the left edge of each column."""
    strip = Image.new("RGB", (gap + len(pictures) * (cell + gap), pictures[0].height + gap), _PAPER)
    for column, picture in enumerate(pictures):
        strip.paste(picture, (gap + column * (cell + gap), gap // 2))
    return strip


def _fitted(
    image: UInt8[np.ndarray, "height width 3"], cell: int, resampling: Image.Resampling
) -> Image.Image:
    """The picture as large as a square of `cell` pixels allows."""
    height, width = image.shape[:2]
    scale = cell / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(image).resize(size, resampling)


def _stacked(strips: Sequence[Image.Image]) -> Image.Image:
    """Strips beneath each other, at the left edge of a sheet as wide as the widest."""
    size = (max(strip.width for strip in strips), sum(strip.height for strip in strips))
    sheet = Image.new("RGB", size, _PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _series(history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Steps and values of the records that hold the key."""
    points = [(record["step"], record[key]) for record in history if record.get(key) is not None]
    return [step for step, _ in points], [value for _, value in points]


def _smoothed(values: Sequence[float]) -> np.ndarray:
    """The mean of each value's neighbourhood, a fortieth of the curve wide."""
    window = np.ones(1 + len(values) // 40)
    return np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")
