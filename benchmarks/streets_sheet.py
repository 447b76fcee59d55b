"""Draw the contact sheet of the street scenes: 24 images, each beside its mask, and a legend.

python benchmarks/streets_sheet.py docs/streets.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from eseg.runtime.class_table import IGNORE_INDEX
from eseg.streets import CLASSES, Streets, StreetsConfig

SCENES = 24
PAIRS_PER_ROW = 3
TILE = (128, 256)
GAP = 6
LEGEND = 34


FIXED = (*CLASSES.colours, (0, 0, 0), (255, 255, 255))
"""Palette entries that masks and legend need; the photos share the others."""
FREE = 256 - len(FIXED)


def legend(width: int) -> Image.Image:
    """One row with a coloured square and a name for each class."""
    strip = Image.new("RGB", (width, LEGEND), "white")
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(16)
    entries = [*zip(CLASSES.names, CLASSES.colours, strict=True), ("unlabelled", (0, 0, 0))]
    step = (width - 2 * GAP) / len(entries)
    for number, (name, colour) in enumerate(entries):
        left = GAP + number * step
        draw.rectangle((left, 9, left + 16, 25), fill=colour)
        draw.text((left + 22, 17), name, fill="black", font=font, anchor="lm")
    return strip


def choose_palette(photos: list[Image.Image]) -> tuple[Image.Image, Image.Image]:
    """The photos' palette, and the whole one that ends with the fixed colours."""
    width, height = photos[0].size
    strip = Image.new("RGB", (width, height * len(photos)))
    for number, photo in enumerate(photos):
        strip.paste(photo, (0, number * height))
    chosen = strip.quantize(FREE, Image.Quantize.MEDIANCUT)
    whole = Image.new("P", (1, 1))
    whole.putpalette([*(chosen.getpalette() or [])[: 3 * FREE], *np.ravel(FIXED).tolist()])
    return chosen, whole


def contact_sheet(first: int) -> Image.Image:
    """The scenes from index `first` on, each image beside its mask, as a palette picture.

    Images are rendered at twice the size and averaged, and dithered among their own colours only.
    """
    height, width = TILE
    dataset = Streets("train", StreetsConfig((2 * height, 2 * width), first + SCENES))
    samples = [dataset[first + place] for place in range(SCENES)]
    photos = [
        Image.fromarray(sample.image).resize((width, height), Image.Resampling.BOX)
        for sample in samples
    ]
    chosen, whole = choose_palette(photos)
    columns, rows = PAIRS_PER_ROW * (2 * width + GAP) + GAP, -(-SCENES // PAIRS_PER_ROW)
    legend_top = rows * (height + GAP) + GAP
    sheet = Image.new("P", (columns, legend_top + LEGEND), FREE + FIXED.index((255, 255, 255)))
    sheet.putpalette(whole.getpalette() or [])
    for place, (sample, photo) in enumerate(zip(samples, photos, strict=True)):
        left = GAP + place % PAIRS_PER_ROW * (2 * width + GAP)
        top = GAP + place // PAIRS_PER_ROW * (height + GAP)
        sheet.paste(photo.quantize(palette=chosen), (left, top))
        labels = sample.mask[::2, ::2]
        entries = np.where(labels == IGNORE_INDEX, len(CLASSES), labels) + FREE
        sheet.paste(Image.fromarray(entries.astype(np.uint8)), (left + width, top))
    caption = legend(columns).quantize(palette=whole, dither=Image.Dither.NONE)
    sheet.paste(caption, (0, legend_top))
    return sheet


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, nargs="?", default=Path("docs/streets.png"))
    parser.add_argument("--first", type=int, default=0, help="index of the first scene")
    arguments = parser.parse_args()
    sheet = contact_sheet(arguments.first)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(arguments.output, optimize=True)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
