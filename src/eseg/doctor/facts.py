"""Facts about images and masks, each file read once and by the readers of training."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from eseg.data.cores import usable_cores
from eseg.data.mask_values import MaskValues, pack_colours
from eseg.data.reading import read_image, read_mask_colours, read_mask_ids
from eseg.errors import DataError
from eseg.runtime.class_table import Colour
from eseg.runtime.images import open_picture, read_header

Value = int | Colour
Expected = Literal["ids", "colours", "either"]
FilePair = tuple[Path, Path]
"""An image and its mask."""

THUMBNAIL = 32
"""Pixels along either side of a thumbnail."""

_MAX_VALUES = 4096
"""Distinct values remembered per mask; a mask of classes has fewer."""

_MAX_WORKERS = 32
_QUEUED = 4
"""Pairs per thread that may wait for the consumer; bounds the memory for large data sets."""


@dataclass(frozen=True)
class ImageFacts:
    """Facts about one image."""

    size: tuple[int, int]  # (height, width) in pixels, upright
    digest: bytes  # hash of size and pixels: equal pictures have equal ones in every file format
    thumbnail: UInt8[np.ndarray, "height width"]  # grey levels, `THUMBNAIL` pixels high and wide
    orientation: int  # the EXIF orientation that was applied, 1 for none


@dataclass(frozen=True)
class MaskFacts:
    """Facts about one mask."""

    size: tuple[int, int]  # (height, width) in pixels, upright
    digest: bytes  # hash of size and values
    orientation: int  # the EXIF orientation that was applied, 1 for none
    stored: MaskValues  # kind of the values that were read
    values: dict[Value, int]  # pixels per id or colour, at most `_MAX_VALUES` of them
    palette: dict[int, Colour]  # colours of the ids that occur; empty unless it is a palette file


@dataclass(frozen=True)
class PairFacts:
    """Facts about an image and its mask."""

    image_path: Path
    mask_path: Path | None  # None where there is no mask
    image: ImageFacts | None  # None if it cannot be read
    mask: MaskFacts | None  # None if there is none or it cannot be read as expected
    errors: tuple[tuple[DataError, Path], ...]  # what training would raise, and about which file
    seconds: float  # time for reading both


def pair_paths(facts: Iterable[PairFacts]) -> list[FilePair]:
    """Return the files of the pairs that have a mask."""
    return [(pair.image_path, pair.mask_path) for pair in facts if pair.mask_path]


def list_lines(root: Path, pairs: Iterable[FilePair]) -> tuple[str, ...]:
    """Return the lines of a list file: image and mask below the root, a tab between them."""
    return tuple("\t".join(path.relative_to(root).as_posix() for path in pair) for pair in pairs)


def gather(
    pairs: Sequence[tuple[Path, Path | None]], expected: Expected, workers: int | None = None
) -> Iterator[PairFacts]:
    """Read many pairs in parallel and yield their facts in order.

    Threads suffice, because decoding, resizing and hashing release the interpreter's lock.

    `workers` are by default one per core that this process may use, at most 32.
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

    `expected` is the kind of values that masks should store. With "either", a mask in colours is
    read as such. With "ids", it is an error, and its colours are counted nevertheless.
    """
    errors: list[tuple[DataError, Path]] = []
    stored: MaskValues = "colours" if expected == "colours" else "ids"
    pixels = values = None
    start = time.perf_counter()
    try:
        pixels = read_image(image_path)
    except DataError as error:
        errors.append((error, image_path))
    if mask_path is not None:
        try:
            read_mask = read_mask_colours if stored == "colours" else read_mask_ids
            values = read_mask(mask_path)
        except DataError as error:
            if expected != "either" or error.fault != "colours for ids":
                errors.append((error, mask_path))
            if error.fault == "colours for ids":
                stored = "colours"
                with suppress(DataError):
                    values = read_mask_colours(mask_path)
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
    if stored == "colours":
        packed, numbers = np.unique(pack_colours(values), return_counts=True)
        order = np.argsort(-numbers, kind="stable")[:_MAX_VALUES]
        numbers = numbers[order]
        keys = [(rgb >> 16, rgb >> 8 & 255, rgb & 255) for rgb in packed[order].tolist()]
    elif values.dtype == np.uint8:  # counted faster than sorted
        numbers = np.bincount(values.ravel(), minlength=256)
        keys = np.flatnonzero(numbers).tolist()
        numbers = numbers[keys]
    else:
        ids, numbers = np.unique(values, return_counts=True)
        keys, numbers = ids[:_MAX_VALUES].tolist(), numbers[:_MAX_VALUES]
    counts: dict[Value, int] = dict(zip(keys, numbers.tolist(), strict=True))
    palette = _palette(path, counts) if stored == "ids" and header.mode == "P" else {}
    height, width = values.shape[:2]
    size, digest = (height, width), _digest(values)
    return MaskFacts(size, digest, header.orientation, stored, counts, palette)


def _palette(path: Path, counts: dict[Value, int]) -> dict[int, Colour]:
    """Return the colours of the ids that occur; empty for a grey ramp, which repeats the ids."""
    picture, _ = open_picture(path)
    flat = picture.getpalette("RGB") or []
    colours = dict(enumerate(zip(flat[::3], flat[1::3], flat[2::3], strict=True)))
    shown = {
        value: colours[value] for value in counts if isinstance(value, int) and value in colours
    }
    return {} if all(colour == (i, i, i) for i, colour in shown.items()) else shown


def _digest(pixels: Integer[np.ndarray, "*shape"]) -> bytes:
    digest = hashlib.sha1(str(pixels.shape).encode(), usedforsecurity=False)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()
