"""Draw the contact sheet of the street scenes: 24 images, each beside its mask, and a legend.

python benchmarks/streets_sheet.py docs/streets.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from eseg.reports.picture_sheet import Panel, Row, paint_sheet
from eseg.runtime.pictures import DIM, INK, NO_LABEL, PAPER, colourise
from eseg.streets import CLASSES, Streets, StreetsConfig

SCENES = 24
PAIRS_PER_ROW = 3
TILE = (128, 256)
"""(height, width) of an image and of its mask."""

FIXED = (*CLASSES.colours, NO_LABEL, DIM, INK, PAPER)
"""Colours of masks and legend, which are shown exactly; the photos share the rest of a palette."""


def reduce_colours(photos: list[Image.Image]) -> list[Image.Image]:
    """Dither the photos with a few colours that they share, which leave room for `FIXED`."""
    strip = Image.fromarray(np.vstack([np.asarray(photo) for photo in photos]))
    palette = strip.quantize(256 - len(FIXED), Image.Quantize.MEDIANCUT)
    return [photo.quantize(palette=palette).convert("RGB") for photo in photos]


def to_palette(sheet: Image.Image, photos: list[Image.Image]) -> Image.Image:
    """Convert a sheet to the colours of its photos and `FIXED`, which only its text lacks."""
    shown = np.vstack([np.asarray(photo) for photo in photos]).reshape(-1, 3)
    palette = np.vstack([np.unique(shown, axis=0), FIXED])  # (at most 256, 3)
    colours, indices = np.unique(np.asarray(sheet).reshape(-1, 3), axis=0, return_inverse=True)
    distances = np.square(colours[:, None].astype(int) - palette).sum(axis=2)  # (colours, palette)
    nearest = distances.argmin(axis=1).astype(np.uint8)  # (colours,)
    result = Image.fromarray(nearest[indices].reshape(sheet.height, sheet.width))
    result.putpalette(palette.astype(np.uint8).tobytes())
    return result


def contact_sheet(first: int) -> Image.Image:
    """Draw the scenes from index `first` on, each image beside its mask, as a palette picture.

    Images are rendered at twice the size and averaged.
    """
    height, width = TILE
    dataset = Streets("train", StreetsConfig((2 * height, 2 * width), first + SCENES))
    samples = [dataset[first + place] for place in range(SCENES)]
    photos = reduce_colours(
        [
            Image.fromarray(sample.image).resize((width, height), Image.Resampling.BOX)
            for sample in samples
        ]
    )
    masks = [colourise(sample.mask[::2, ::2], CLASSES.colours) for sample in samples]
    panels = [
        Panel(Image.fromarray(np.hstack([np.asarray(photo), mask])))
        for photo, mask in zip(photos, masks, strict=True)
    ]
    sheet = paint_sheet(
        [Row(panels[place : place + PAIRS_PER_ROW]) for place in range(0, SCENES, PAIRS_PER_ROW)],
        legend=[*zip(CLASSES.names, CLASSES.colours, strict=True), ("no label", NO_LABEL)],
        gap=6,
    )
    return to_palette(sheet, photos)


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
