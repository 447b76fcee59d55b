"""Sheet of pictures that shows where in the images each class is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFont

from eseg.data.folder import check_sizes
from eseg.data.reading import read_image
from eseg.doctor.diagnosis import Diagnosis
from eseg.doctor.facts import PairFacts
from eseg.doctor.findings import counted
from eseg.reports.picture_sheet import Panel, Row, paint_sheet, save_picture
from eseg.runtime.pictures import DIM, INK, PAPER, shortened

SAMPLES = 5
"""Pictures per class."""

ROWS = 40
"""Classes per sheet; viewers fail to open much larger pictures."""

_TILE = (180, 240)
"""(height, width) of a picture."""
_GAP = 8
_NAME_WIDTH = 212
"""Width of the column of names."""
_GRID = 48
"""Steps along the longer side of an image in which the window around a class is searched."""
_FADED = 0.45
"""Share of an image's contrast that remains outside the class."""
_RED = (200, 30, 30)


def sample_sheet(diagnosis: Diagnosis, first: int = 0) -> Image.Image:
    """Draw samples of at most `ROWS` classes, from class `first` on, as an RGB picture.

    A row holds the class's share of the labelled pixels and its number of images per split, and
    pictures of places where it is, enlarged where the class is small: the class outlined in white
    and black, the rest faded. The row of a class without a single pixel says so.
    """
    config = diagnosis.config
    end = min(first + ROWS, len(config.classes))
    rows = []
    for label in range(first, end):
        panels = [
            Panel(_tile(diagnosis, pair, label), caption=f"{split}: {pair.image_path.stem}")
            for split, pair in _samples(diagnosis, label)
        ]
        rows.append(Row([_name_panel(diagnosis, label), *(panels or [_absent_panel()])]))
    part = f" ({first} to {end - 1} on this sheet)" if len(rows) < len(config.classes) else ""
    title = f"{config.name}: {len(config.classes)} classes{part}, " + ", ".join(
        f"{split} {counted(balance.masks, 'mask')}" for split, balance in diagnosis.balances.items()
    )
    note = "inside the outline: the class; below its name: share of the labelled pixels, images"
    return paint_sheet(rows, titles=[(title, 22), (note, 13)], gap=_GAP)


def save_sheet(diagnosis: Diagnosis, sheet: Path) -> list[Path]:
    """Write `sample_sheet`; each `ROWS` further classes go into a further file, `SHEET_2.png`.

    Returns:
        The files.

    Raises:
        OutputError: A file cannot be written, or its suffix is not that of a picture format.
    """
    firsts = range(0, len(diagnosis.config.classes), ROWS)
    paths = [sheet, *(sheet.with_stem(f"{sheet.stem}_{n}") for n in range(2, len(firsts) + 1))]
    for first, path in zip(firsts, paths, strict=True):
        save_picture(sample_sheet(diagnosis, first), path, argument="sheet")
    return paths


def _samples(diagnosis: Diagnosis, label: int) -> tuple[tuple[str, PairFacts], ...]:
    """Choose images, with their splits, from those with most pixels of a class to the median."""
    meanings = diagnosis.config.labels_by_value()
    values = [value for value, meant in meanings.items() if meant == label]
    found = []
    for split, facts in diagnosis.readings.splits.items():
        for pair in facts:
            if pair.mask is None or pair.mask.stored != diagnosis.config.mask_values:
                continue
            count = sum(pair.mask.values.get(value, 0) for value in values)
            usable = pair.image and pair.image.size == pair.mask.size
            if count and usable and all(value in meanings for value in pair.mask.values):
                found.append((count, split, pair))
    found.sort(key=lambda entry: -entry[0])
    half = max(SAMPLES, (len(found) + 1) // 2)
    places = np.linspace(0, min(half, len(found)) - 1, min(SAMPLES, len(found))).astype(int)
    return tuple(found[place][1:] for place in places.tolist())


def _name_panel(diagnosis: Diagnosis, label: int) -> Panel:
    """Draw a class's colour, name, ids, and share per split."""
    picture = Image.new("RGB", (_NAME_WIDTH, _TILE[0]), PAPER)
    draw, small = ImageDraw.Draw(picture), ImageFont.load_default(13)
    entry, room = diagnosis.config.classes[label], _NAME_WIDTH - 36
    sizes = [ImageFont.load_default(size) for size in (18, 15, 13)]
    font = next((font for font in sizes if font.getlength(entry.name) <= room), small)
    draw.rectangle((0, 0, 22, 22), fill=entry.colour, outline=DIM)
    draw.text((30, 11), shortened(entry.name, font, room), fill=INK, font=font, anchor="lm")
    lines = [f"id {label}"]
    if entry.ids and entry.ids != (label,):
        lines[0] += f", in the files {', '.join(map(str, entry.ids[:4]))}"
    for split, balance in diagnosis.balances.items():
        images = balance.images[label]
        share = f"{balance.share(label):.2%}, {counted(images, 'image')}" if images else "none"
        lines.append(f"{split}: {share}")
    for number, line in enumerate(lines):
        text = shortened(line, small, _NAME_WIDTH)
        draw.text((0, 34 + 19 * number), text, fill=DIM, font=small)
    return Panel(picture)


def _absent_panel() -> Panel:
    """Draw a panel that says that a class has no samples."""
    picture = Image.new("RGB", (_TILE[1], _TILE[0]), PAPER)
    position, font = (16, _TILE[0] // 2), ImageFont.load_default(16)
    ImageDraw.Draw(picture).text(position, "occurs in no mask", _RED, font, anchor="lm")
    return Panel(picture)


def _tile(diagnosis: Diagnosis, pair: PairFacts, label: int) -> Image.Image:
    """Draw the surroundings of a class in one image."""
    assert pair.mask_path is not None
    image = read_image(pair.image_path)
    mask = diagnosis.config.mask_reader()(pair.mask_path)
    check_sizes((pair.image_path, image.shape[:2]), (pair.mask_path, mask.shape))
    left, top, right, bottom = _window(mask == label)
    part, shown = image[top:bottom, left:right], mask[top:bottom, left:right] == label
    height, width = _TILE
    picture = Image.fromarray(part).resize((width, height), Image.Resampling.LANCZOS)
    stencil = Image.fromarray(shown).resize((width, height), Image.Resampling.NEAREST)
    return Image.fromarray(_marked(np.asarray(picture), np.asarray(stencil)))


def _window(inside: Bool[np.ndarray, "height width"]) -> tuple[int, int, int, int]:
    """Find left, top, right and bottom of a window that shows much of a class.

    It has the tile's proportions and about four times the area of the class; its sides are at least
    a quarter of the largest window's.
    """
    rows, columns = inside.shape
    height, width = _TILE
    whole = min(rows / height, columns / width)
    wanted = 2 * float(np.sqrt(inside.sum() / (height * width)))
    scale = min(whole, max(wanted, whole / 4))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))

    sums = np.zeros((rows + 1, columns + 1), np.int64)  # of all pixels above and to the left
    sums[1:, 1:] = inside.cumsum(0, dtype=np.int64).cumsum(1)
    step = max(1, max(rows, columns) // _GRID)
    tops = np.unique([*range(0, rows - size[0] + 1, step), rows - size[0]])[:, None]  # (tops, 1)
    lefts = np.unique([*range(0, columns - size[1] + 1, step), columns - size[1]])[None]
    bottoms, rights = tops + size[0], lefts + size[1]  # (tops, 1), (1, lefts)
    counts = sums[bottoms, rights] - sums[tops, rights] - sums[bottoms, lefts] + sums[tops, lefts]
    # Of the windows with most of the class, the one nearest to their mean position.
    best = np.argwhere(counts >= 0.98 * counts.max())  # (windows, 2): positions in counts
    row, column = best.mean(axis=0).round().astype(int).tolist()
    nearest = best[np.abs(best - (row, column)).sum(axis=1).argmin()]  # (2,)
    top, left = int(tops[nearest[0], 0]), int(lefts[0, nearest[1]])
    return left, top, left + size[1], top + size[0]


def _marked(
    image: UInt8[np.ndarray, "height width 3"],
    inside: Bool[np.ndarray, "height width"],
) -> UInt8[np.ndarray, "height width 3"]:
    """Keep a class's pixels, fade the rest, and outline it in white inside and black outside.

    An outline in the class's colour would be invisible where that resembles the picture's grey.
    """
    pixels = image.astype(np.float32)  # (height, width, 3)
    grey = pixels.mean(axis=2, keepdims=True)  # (height, width, 1)
    result = np.where(inside[..., None], pixels, 255 - _FADED * (255 - grey))
    edge = np.zeros_like(inside)  # (height, width)
    vertical, horizontal = inside[1:] != inside[:-1], inside[:, 1:] != inside[:, :-1]
    edge[1:] |= vertical
    edge[:-1] |= vertical
    edge[:, 1:] |= horizontal
    edge[:, :-1] |= horizontal
    result[edge & inside] = PAPER
    result[edge & ~inside] = INK
    return result.round().clip(0, 255).astype(np.uint8)
