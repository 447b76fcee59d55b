"""Label maps as pictures: colours, palettes, overlays and legends."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import SupportsInt

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from eseg.runtime.class_table import Colour

PAPER: Colour = (255, 255, 255)
INK: Colour = (30, 30, 30)
DIM: Colour = (110, 110, 110)
NO_LABEL: Colour = (0, 0, 0)


def colourise(labels: np.ndarray, palette: Sequence[Colour]) -> np.ndarray:
    """Paint every pixel in its class's colour.

    Args:
        labels: Class ids, uint8 (height, width); ids without a colour, such as 255 ("no label"),
            become black.
        palette: One colour per class.

    Returns:
        uint8 RGB (height, width, 3).
    """
    return _palette(palette)[labels]


def palette_image(labels: np.ndarray, palette: Sequence[Colour]) -> Image.Image:
    """Turn labels into a palette picture: viewers show the colours, programs read the ids.

    Args:
        labels: Class ids, uint8 (height, width), stored unchanged; the colour of 255 ("no label")
            is black.
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
    """Append a strip below an image that names the classes' colours.

    The text grows with the image but always remains legible: an image narrower than the longest
    name gets a white margin at its right.

    Args:
        image: uint8 RGB (height, width, 3), unchanged in the result's upper left corner.
        names: One name per class.
        palette: One colour per class.
        present: Ids of the classes to name, such as `np.unique(labels)`; all if None. Ids that
            are not classes, such as 255, are ignored.

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
    """Return names and colours of the classes whose ids are shown, in the order of the ids."""
    pairs = zip(names, palette, strict=True)
    return [pair for i, pair in enumerate(pairs) if i in shown]


def legend_strip(
    entries: Sequence[tuple[str, Colour]], width: int, font_size: int, margin: int
) -> Image.Image:
    """Draw swatches with names in as many equal columns as fit.

    Args:
        entries: Names and colours.
        width: Width in pixels; the strip is wider if a single column does not fit.
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


def shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Replace the middle of a text by "..." if the text is wider than `width` pixels."""
    kept = len(text)
    short = text
    while kept > 0 and font.getlength(short) > width:
        kept -= 1
        short = f"{text[: (kept + 1) // 2]}...{text[len(text) - kept // 2 :]}"
    return short


def stacked(strips: Sequence[Image.Image]) -> Image.Image:
    """Stack strips vertically, aligned left, on a sheet as wide as the widest."""
    size = (max(strip.width for strip in strips), sum(strip.height for strip in strips))
    sheet = Image.new("RGB", size, PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _palette(colours: Sequence[Colour]) -> np.ndarray:
    """Return the colour of every 8-bit id, uint8 (256, 3); black for ids that are not classes."""
    palette = np.full((256, 3), NO_LABEL, dtype=np.uint8)
    palette[: len(colours)] = colours
    return palette
