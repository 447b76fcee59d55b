"""A sheet of pictures: for each class, where in the images it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFont

from eseg.data.folder import check_sizes
from eseg.data.reading import read_image
from eseg.doctor.balance import Balance
from eseg.doctor.diagnosis import Diagnosis
from eseg.doctor.facts import PairFacts
from eseg.doctor.findings import counted
from eseg.errors import DataError
from eseg.runtime.pictures import DIM, INK, PAPER

SAMPLES = 5
"""Pictures per class."""

ROWS = 40
"""Classes per sheet; more would make a picture that no viewer opens."""

_TILE = (180, 240)
"""(height, width) of a picture."""
_GAP = 8
_TEXT = 220
"""Width of the column of names."""
_HEADING = 58
_CELLS = 48
"""The longer side of the grid on which the place of a class is looked for."""
_FADED = 0.45
"""How much of an image remains outside the class."""


@dataclass(frozen=True)
class _Row:
    """A class, and its samples: pairs with the split that they are from."""

    label: int
    samples: tuple[tuple[str, PairFacts], ...]


def sample_sheet(diagnosis: Diagnosis, first: int = 0) -> Image.Image:
    """Draw samples of at most `ROWS` classes: each outlined in white and black, the rest faded.

    Each picture shows the surroundings of one place of the class, larger where the class is small.
    Classes without a single pixel have a row that says so.

    Args:
        diagnosis: A data set that was examined.
        first: The first class on the sheet.

    Returns:
        RGB, a row per class, with the class's share of the labelled pixels and its images per
        split.
    """
    config = diagnosis.config
    end = min(first + ROWS, len(config.classes))
    rows = [_Row(label, _samples(diagnosis, label)) for label in range(first, end)]
    height, width = _TILE
    size = (
        _GAP + _TEXT + SAMPLES * (width + _GAP),
        _HEADING + len(rows) * (height + _GAP),
    )
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    part = f" ({first} to {end - 1} on this sheet)" if len(rows) < len(config.classes) else ""
    title = f"{config.name}: {len(config.classes)} classes{part}, " + ", ".join(
        f"{split} {counted(balance.masks, 'mask')}" for split, balance in diagnosis.balances.items()
    )
    draw.text((_GAP, 12), title, fill=INK, font=ImageFont.load_default(22))
    draw.text(
        (_GAP, 38),
        "inside the outline: the class; beside its name: share of the labelled pixels, images",
        fill=DIM,
        font=ImageFont.load_default(13),
    )
    for place, row in enumerate(rows):
        top = _HEADING + place * (height + _GAP)
        _draw_name(draw, diagnosis, row.label, top)
        tiles = [_tile(diagnosis, pair, row.label) for _, pair in row.samples]
        for column, (tile, (split, pair)) in enumerate(zip(tiles, row.samples, strict=True)):
            left = _GAP + _TEXT + column * (width + _GAP)
            sheet.paste(tile, (left, top))
            _caption(draw, f"{split}: {pair.image_path.stem}", (left, top + height))
        if not tiles:
            middle = (_GAP + _TEXT + 16, top + height // 2)
            font = ImageFont.load_default(16)
            draw.text(middle, "occurs in no mask", fill=(200, 30, 30), font=font, anchor="lm")
    return sheet


def save_sheet(diagnosis: Diagnosis, path: Path) -> list[Path]:
    """Draw `sample_sheet` into a file; more than `ROWS` classes into further ones, `PATH_2.png`.

    Returns:
        The files.

    Raises:
        DataError: A file cannot be written, or its name is that of no picture.
    """
    firsts = range(0, len(diagnosis.config.classes), ROWS)
    paths = [path, *(path.with_stem(f"{path.stem}_{n}") for n in range(2, len(firsts) + 1))]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for first, file in zip(firsts, paths, strict=True):
            sample_sheet(diagnosis, first).save(file)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: the sheet cannot be written ({error}); give --sheet a file name that ends in "
            ".png, in a folder that may be written"
        ) from error
    return paths


def _samples(diagnosis: Diagnosis, label: int) -> tuple[tuple[str, PairFacts], ...]:
    """Images that show a class, from those that show it most to the median one."""
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


def _draw_name(draw: ImageDraw.ImageDraw, diagnosis: Diagnosis, label: int, top: int) -> None:
    entry = diagnosis.config.classes[label]
    draw.rectangle((_GAP, top, _GAP + 22, top + 22), fill=entry.colour, outline=DIM)
    name_font, small = _fitting(entry.name, _TEXT - 44), ImageFont.load_default(13)
    draw.text((_GAP + 30, top + 11), entry.name, fill=INK, font=name_font, anchor="lm")
    lines = [f"id {label}"]
    if entry.ids and entry.ids != (label,):
        lines[0] += f", in the files {', '.join(map(str, entry.ids[:4]))}"
    lines += [f"{split}: {_share(balance, label)}" for split, balance in diagnosis.balances.items()]
    for number, line in enumerate(lines):
        draw.text((_GAP, top + 34 + 19 * number), line, fill=DIM, font=small)


def _share(balance: Balance, label: int) -> str:
    if not balance.images[label]:
        return "none"
    return f"{balance.share(label):.2%}, {counted(balance.images[label], 'image')}"


def _fitting(text: str, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest font in which a text has room."""
    for size in (18, 15, 13, 11):
        font = ImageFont.load_default(size)
        if font.getlength(text) <= width:
            return font
    return ImageFont.load_default(9)


def _caption(draw: ImageDraw.ImageDraw, text: str, corner: tuple[int, int]) -> None:
    """White on black in the lower left corner of a picture."""
    font = ImageFont.load_default(11)
    while len(text) > 4 and font.getlength(text) > _TILE[1] - 8:
        text = text[:-4] + "..."
    left, bottom = corner
    width = round(font.getlength(text)) + 8
    draw.rectangle((left, bottom - 16, left + width, bottom - 1), fill=INK)
    draw.text((left + 4, bottom - 8), text, fill=PAPER, font=font, anchor="lm")


def _tile(diagnosis: Diagnosis, pair: PairFacts, label: int) -> Image.Image:
    assert pair.mask_path is not None
    image = read_image(pair.image_path)
    mask = diagnosis.config.mask_reader()(pair.mask_path)
    check_sizes((pair.image_path, image.shape[:2]), (pair.mask_path, mask.shape))
    inside = mask == label
    box = _window(inside)
    left, top, right, bottom = box
    part, shown = image[top:bottom, left:right], inside[top:bottom, left:right]
    height, width = _TILE
    picture = Image.fromarray(part).resize((width, height), Image.Resampling.LANCZOS)
    stencil = Image.fromarray(shown).resize((width, height), Image.Resampling.NEAREST)
    return Image.fromarray(_marked(np.asarray(picture), np.asarray(stencil)))


def _window(inside: Bool[np.ndarray, "height width"]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a part of the tile's proportions with much of the class.

    It is about twice as large as the class, and never smaller than a quarter of the image.
    """
    rows, columns = inside.shape
    height, width = _TILE
    whole = min(rows / height, columns / width)
    wanted = 2 * float(np.sqrt(inside.sum() / (height * width)))
    scale = min(whole, max(wanted, whole / 4))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))

    sums = np.zeros((rows + 1, columns + 1), np.int64)
    sums[1:, 1:] = inside.cumsum(0, dtype=np.int64).cumsum(1)
    step = max(1, max(rows, columns) // _CELLS)
    tops = np.unique([*range(0, rows - size[0] + 1, step), rows - size[0]])[:, None]
    lefts = np.unique([*range(0, columns - size[1] + 1, step), columns - size[1]])[None]
    bottoms, rights = tops + size[0], lefts + size[1]
    counts = sums[bottoms, rights] - sums[tops, rights] - sums[bottoms, lefts] + sums[tops, lefts]
    # Of the windows with most of the class, the one whose middle is closest to the class's own.
    best = np.argwhere(counts >= 0.98 * counts.max())
    row, column = best.mean(axis=0).round().astype(int).tolist()
    nearest = best[np.abs(best - (row, column)).sum(axis=1).argmin()]
    top, left = int(tops[nearest[0], 0]), int(lefts[0, nearest[1]])
    return left, top, left + size[1], top + size[0]


def _marked(
    image: UInt8[np.ndarray, "height width 3"],
    inside: Bool[np.ndarray, "height width"],
) -> UInt8[np.ndarray, "height width 3"]:
    """The class in its own colours, outlined white within and black around, the rest faded.

    In the class's colour an outline would vanish where that is grey as the picture.
    """
    pixels = image.astype(np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    faded = 255 - _FADED * (255 - grey)
    result = np.where(inside[..., None], pixels, faded)
    edge = np.zeros_like(inside)
    across, along = inside[1:] != inside[:-1], inside[:, 1:] != inside[:, :-1]
    edge[1:] |= across
    edge[:-1] |= across
    edge[:, 1:] |= along
    edge[:, :-1] |= along
    result[edge & inside] = PAPER
    result[edge & ~inside] = INK
    return result.round().clip(0, 255).astype(np.uint8)
