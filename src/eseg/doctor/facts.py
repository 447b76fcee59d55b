"""What one image and its mask are, read once and by the readers of training."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from eseg.data.cores import usable_cores
from eseg.data.mask_values import Colour, MaskValues, pack_colours
from eseg.data.reading import read_image, read_mask_colours, read_mask_ids
from eseg.errors import DataError
from eseg.runtime.images import open_picture, read_header

Value = int | Colour
Expected = Literal["ids", "colours", "either"]

THUMBNAIL = 32
"""Pixels along either side of a thumbnail."""

_MAX_VALUES = 4096
"""Distinct values remembered per mask; what has more is no mask of classes."""

_MAX_WORKERS = 32
_QUEUED = 4
"""Pairs per thread that wait to be taken, so that a great data set does not fill the memory."""


@dataclass(frozen=True)
class ImageFacts:
    """One image.

    Attributes:
        size: (height, width) in pixels, upright.
        digest: Of size and pixels: equal for equal pictures, in whatever format they are stored.
        thumbnail: Grey and small, `THUMBNAIL` pixels high and wide.
        orientation: The EXIF orientation that was applied, 1 for none.
    """

    size: tuple[int, int]
    digest: bytes
    thumbnail: UInt8[np.ndarray, "height width"]
    orientation: int


@dataclass(frozen=True)
class MaskFacts:
    """One mask.

    Attributes:
        size: (height, width) in pixels, upright.
        digest: Of size and values.
        orientation: The EXIF orientation that was applied, 1 for none.
        stored: Whether it was read as ids or as colours.
        values: Pixels per id or colour, at most `_MAX_VALUES` of them.
        palette: The colours of the ids that occur, if it is a palette file.
    """

    size: tuple[int, int]
    digest: bytes
    orientation: int
    stored: MaskValues
    values: dict[Value, int]
    palette: dict[int, Colour]


@dataclass(frozen=True)
class PairFacts:
    """An image and its mask.

    Attributes:
        image_path: The image.
        mask_path: Its mask, or None where there is none.
        image: None if it cannot be read.
        mask: None if there is none or it cannot be read as expected.
        errors: What training says about the files, each with the file that it is about.
        seconds: Time that reading both took.
    """

    image_path: Path
    mask_path: Path | None
    image: ImageFacts | None
    mask: MaskFacts | None
    errors: tuple[tuple[DataError, Path], ...]
    seconds: float


def gather(
    pairs: Sequence[tuple[Path, Path | None]], expected: Expected, workers: int | None = None
) -> Iterator[PairFacts]:
    """Read many pairs in parallel; the facts come in order.

    Threads, not processes: decoding, resizing and hashing run outside the interpreter's lock.

    Args:
        pairs: Images and masks.
        expected: See `examine_pair`.
        workers: Threads; by default one per core that this process may use, at most 32.
    """
    threads = workers or min(_MAX_WORKERS, usable_cores())
    examine = partial(examine_pair, expected=expected)
    waiting: deque[Future[PairFacts]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for image, mask in pairs:
            waiting.append(pool.submit(examine, image, mask))
            if len(waiting) > threads * _QUEUED:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def examine_pair(image_path: Path, mask_path: Path | None, expected: Expected) -> PairFacts:
    """Read one image and its mask.

    Args:
        image_path: The image.
        mask_path: Its mask, or None.
        expected: What masks should hold. With `either`, a mask in colours is read as such;
            otherwise it is an error where ids are expected, and its colours are told nevertheless.
    """
    errors: list[tuple[DataError, Path]] = []
    start = time.perf_counter()
    pixels = values = None
    stored: MaskValues = "colours" if expected == "colours" else "ids"
    try:
        pixels = read_image(image_path)
    except DataError as error:
        errors.append((error, image_path))
    if mask_path is not None:
        try:
            values = read_mask_colours(mask_path) if stored == "colours" else None
            if values is None:
                values = read_mask_ids(mask_path)
        except DataError as error:
            if expected != "either" or error.fault != "colours for ids":
                errors.append((error, mask_path))
            if error.fault == "colours for ids":
                stored, values = "colours", _colours_or_nothing(mask_path)
    seconds = time.perf_counter() - start
    return PairFacts(
        image_path,
        mask_path,
        None if pixels is None else _image_facts(image_path, pixels),
        None if values is None or mask_path is None else _mask_facts(mask_path, values, stored),
        tuple(errors),
        seconds,
    )


def _image_facts(path: Path, pixels: UInt8[np.ndarray, "height width 3"]) -> ImageFacts:
    grey = Image.fromarray(pixels).convert("L")
    small = grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
    height, width, _ = pixels.shape
    orientation = read_header(path).orientation
    return ImageFacts((height, width), _digest(pixels), np.asarray(small), orientation)


def _mask_facts(path: Path, values: Integer[np.ndarray, "*shape"], stored: MaskValues) -> MaskFacts:
    header = read_header(path)
    counts: dict[Value, int] = {}
    if stored == "colours":
        packed, numbers = np.unique(pack_colours(values), return_counts=True)
        order = np.argsort(-numbers, kind="stable")[:_MAX_VALUES]
        for colour, number in zip(packed[order].tolist(), numbers[order].tolist(), strict=True):
            counts[(colour >> 16, colour >> 8 & 255, colour & 255)] = number
    else:
        ids, numbers = _id_counts(values)
        counts.update(zip(ids[:_MAX_VALUES].tolist(), numbers[:_MAX_VALUES].tolist(), strict=True))
    palette = _palette(path, counts) if stored == "ids" and header.mode == "P" else {}
    height, width = values.shape[:2]
    size, digest = (height, width), _digest(values)
    return MaskFacts(size, digest, header.orientation, stored, counts, palette)


def _id_counts(
    values: Integer[np.ndarray, "height width"],
) -> tuple[Integer[np.ndarray, " distinct"], Integer[np.ndarray, " distinct"]]:
    if values.dtype != np.uint8:
        return np.unique(values, return_counts=True)
    numbers = np.bincount(values.ravel(), minlength=256)
    ids = np.flatnonzero(numbers)
    return ids, numbers[ids]


def _palette(path: Path, counts: dict[Value, int]) -> dict[int, Colour]:
    """The colours of the ids that occur; none for a grey ramp, which only says the ids again."""
    picture, _ = open_picture(path)
    flat = picture.getpalette("RGB") or []
    colours = dict(enumerate(zip(flat[::3], flat[1::3], flat[2::3], strict=True)))
    shown = {
        value: colours[value] for value in counts if isinstance(value, int) and value in colours
    }
    return {} if all(colour == (i, i, i) for i, colour in shown.items()) else shown


def _colours_or_nothing(path: Path) -> UInt8[np.ndarray, "height width 3"] | None:
    try:
        return read_mask_colours(path)
    except DataError:
        return None


def _digest(pixels: Integer[np.ndarray, "*shape"]) -> bytes:
    digest = hashlib.sha1(str(pixels.shape).encode(), usedforsecurity=False)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()
