"""Images that networks are timed on: files, or a street scene drawn for the purpose."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from eseg.errors import BenchmarkError
from eseg.models.graph import MAX_SIDE
from eseg.runtime.images import as_pixels, read_image
from eseg.streets import render_scene

_JPEG_QUALITY = 90

_SCENE = (0, 1, 0)
"""Seed, split and index of the scene: always the same one."""


@dataclass(frozen=True)
class TimedPicture:
    """An image, decoded and encoded.

    Attributes:
        source: Its origin, for the record.
        pixels: uint8 RGB (height, width, 3).
        encoded: A picture file of the same size.
        encoding: Format of that file: `JPEG`, `PNG`.
    """

    source: str
    pixels: np.ndarray
    encoded: bytes
    encoding: str

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def decode(self) -> np.ndarray:
        """Decode the encoded file."""
        return as_pixels(Image.open(io.BytesIO(self.encoded)))


def check_pictures(files: Iterable[Path], size: tuple[int, int] | None) -> None:
    """Raise early what `load_picture` and `draw_picture` would raise later."""
    _check_size(size)
    for file in files:
        read_image(file)


def load_picture(file: Path, size: tuple[int, int] | None = None) -> TimedPicture:
    """Load an image file, and resize it if another (height, width) is wanted.

    Then it is also encoded anew, as a JPEG: decoding takes a time that depends on the size.

    Raises:
        ImageError: The file is missing, damaged or not a picture.
        BenchmarkError: The size is out of range.
    """
    _check_size(size)
    pixels = read_image(file)
    height, width = pixels.shape[:2]
    if size is None or size == (height, width):
        encoded = file.read_bytes()
        with Image.open(io.BytesIO(encoded)) as picture:
            return TimedPicture(file.name, pixels, encoded, picture.format or "unknown")
    resized = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return _as_jpeg(f"{file.name}, resized from {height}x{width}", np.asarray(resized))


def draw_picture(size: tuple[int, int]) -> TimedPicture:
    """Draw a street scene of a (height, width); raise `BenchmarkError` if that is out of range."""
    _check_size(size)
    pixels, _ = render_scene(_SCENE, size)
    return _as_jpeg("procedural street scene", pixels)


def _as_jpeg(source: str, pixels: np.ndarray) -> TimedPicture:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_JPEG_QUALITY)
    return TimedPicture(source, pixels, file.getvalue(), "JPEG")


def _check_size(size: tuple[int, int] | None) -> None:
    if size is not None and not all(1 <= side <= MAX_SIDE for side in size):
        raise BenchmarkError(f"`size` {size[0]}x{size[1]}: sides are from 1 to {MAX_SIDE} pixels")
