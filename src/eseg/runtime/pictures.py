"""Label maps as pictures: colours, palettes, overlays and legends."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import SupportsInt, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour: TypeAlias = tuple[int, int, int]
"""(red, green, blue) in [0, 255]."""

PAPER: Colour = (255, 255, 255)
INK: Colour = (30, 30, 30)
DIM: Colour = (110, 110, 110)
NO_LABEL: Colour = (0, 0, 0)


def colourise(labels: np.ndarray, palette: Sequence[Colour]) -> np.ndarray:
    """Paint every pixel in its class's colour.

    Args:
        labels: Class ids, uint8 (height, width); 255 ("no label"), like every other id that has no
            colour, becomes black.
        palette: One colour per class.

    Returns:
        uint8 RGB (height, width, 3).
    """
    return _palette(palette)[labels]


def palette_image(labels: np.ndarray, palette: Sequence[Colour]) -> Image.Image:
    """Labels as a palette picture: viewers show the colours, programs read the ids.

    Args:
        labels: Class ids, uint8 (height, width); stored as they are, 255 ("no label") too, whose
            colour is black.
        palette: One colour per class.

    Returns:
        A Pillow image of mode "P", to be saved as PNG.
    """
    image = Image.fromarray(labels)
    image.putpalette(_palette(palette).tobytes())
    return image


def overlay(
    image: np.ndarray, labels: np.ndarray, palette: Sequence[Colour], alpha: float = 0.5
) -> np.ndarray:
    """Lay the classes' colours over an image; pixels without a label stay as they are.

    Args:
        image: uint8 RGB (height, width, 3).
        labels: Class ids or 255 ("no label"), uint8 (height, width).
        palette: One colour per class.
        alpha: Share of the colours in [0, 1]; 0 leaves the image, 1 hides it.

    Returns:
        uint8 RGB (height, width, 3).
    """
    colours = colourise(labels, palette)
    blended = image + alpha * (colours.astype(np.float32) - image)
    return np.where(labels[..., None] < len(palette), blended.round().astype(np.uint8), image)


def with_legend(
    image: np.ndarray,
    names: Sequence[str],
    palette: Sequence[Colour],
    present: Iterable[SupportsInt] | None = None,
) -> np.ndarray:
    """Put a strip beneath an image that names the classes' colours.

    The text grows with the image and never gets too small to read: an image narrower than the
    longest name gets a white margin at its right instead.

    Args:
        image: uint8 RGB (height, width, 3), found unchanged in the result's upper left corner.
        names: One name per class.
        palette: One colour per class.
        present: Ids of the classes to name, all if None. `np.unique(labels)` will do: ids that are
            no class, such as 255, are passed over.

    Returns:
        uint8 RGB, higher and where necessary wider than the image.
    """
    width = image.shape[1]
    shown = range(len(names)) if present is None else {int(i) for i in present}
    font_size = max(13, width // 64)
    entries = legend_entries(names, palette, shown)
    strip = legend_strip(entries, width, font_size, margin=font_size // 2)
    return np.array(stacked([Image.fromarray(image), strip]))


def legend_entries(
    names: Sequence[str], palette: Sequence[Colour], shown: Collection[int]
) -> list[tuple[str, Colour]]:
    """Name and colour of the classes whose ids are shown, in the order of the ids."""
    pairs = zip(names, palette, strict=True)
    return [pair for i, pair in enumerate(pairs) if i in shown]


def legend_strip(
    entries: Sequence[tuple[str, Colour]], width: int, font_size: int, margin: int
) -> Image.Image:
    """Swatches with names in equal columns, as many as fit.

    Args:
        entries: Names and colours.
        width: Wanted width in pixels; the strip is wider if not one column fits.
        font_size: Height of the letters in pixels.
        margin: White pixels around the columns.
    """
    font = ImageFont.load_default(font_size)
    space, line = font_size // 2, round(1.6 * font_size)
    longest = max((math.ceil(font.getlength(name)) for name, _ in entries), default=0)
    column = font_size + space + longest + 2 * space
    lines = math.ceil(len(entries) / max(1, (width - margin) // column))
    columns = math.ceil(len(entries) / max(1, lines))  # of about equal length
    strip = Image.new("RGB", (max(width, margin + column), lines * line + 2 * margin), PAPER)
    draw = ImageDraw.Draw(strip)
    for index, (name, colour) in enumerate(entries):
        x = margin + index % columns * column
        middle = margin + index // columns * line + line // 2
        top = middle - font_size // 2
        draw.rectangle((x, top, x + font_size, top + font_size), fill=colour, outline=DIM)
        draw.text((x + font_size + space, middle), name, fill=INK, font=font, anchor="lm")
    return strip


def stacked(strips: Sequence[Image.Image]) -> Image.Image:
    """Strips beneath each other, at the left edge of a sheet as wide as the widest."""
    size = (max(strip.width for strip in strips), sum(strip.height for strip in strips))
    sheet = Image.new("RGB", size, PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _palette(colours: Sequence[Colour]) -> np.ndarray:
    """The colour of every 8-bit id, uint8 (256, 3); black for those that are no class."""
    palette = np.full((256, 3), NO_LABEL, dtype=np.uint8)
    palette[: len(colours)] = colours
    return palette
