"""Images from files, Pillow pictures or arrays as uint8 RGB arrays.

This is the only module that opens picture files, so that training and deployment read the same
pixels.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from eseg.errors import ImageError

ImageLike: TypeAlias = str | Path | Image.Image | np.ndarray
"""A file, a Pillow picture of 8 bits, or a uint8 RGB array (height, width, 3)."""

MAX_PIXELS = 2**29
"""Largest image read, in pixels (about 23,000 x 23,000).

Reading takes some 15 bytes of memory per pixel: 5.9 GB were measured at 20,000 x 20,000.
"""

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
"""Pillow's names of the formats read; JPEG includes the MPO of phones with several lenses."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
"""Lower-case suffixes of files in these formats, by which images are found in folders."""

_LARGEST_16_BIT = 65_535

_EXIF_IN_PNG = (b"eXIf", b"Raw profile type exif", b"tiff:Orientation")
_TURNED = range(2, 9)
"""EXIF orientations other than upright."""

_pillow_lock = threading.Lock()


class Header(NamedTuple):
    """Pixel format and orientation of a picture file.

    Attributes:
        mode: Pillow's name of the pixel format, such as "P" for a palette.
        orientation: The EXIF orientation from 1 (as stored) to 8.
    """

    mode: str
    orientation: int


def as_pixels(image: ImageLike) -> np.ndarray:
    """Convert one image to a new array.

    Args:
        image: A file, read by `read_image`; a Pillow picture of 8 bits, used as is (EXIF
            orientation is not applied); or uint8 RGB (height, width, 3).

    Returns:
        uint8 RGB (height, width, 3), writable and not sharing memory with `image`.

    Raises:
        ImageError: The file or picture is not readable, or the picture or array is not of such a
            kind.
    """
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        if image.mode[0] in "IF":  # Pillow would clip their values to 255
            raise ImageError(
                f"a Pillow picture of mode {image.mode} has no fixed range; scale it to 8 bits, or "
                "give the file's path"
            )
        image = _colours(image, getattr(image, "filename", "") or "the Pillow picture")
    if not isinstance(image, np.ndarray):
        raise ImageError(
            f"an image is a path, a Pillow picture or an array, not a {type(image).__name__}"
        )
    shaped = image.ndim == 3 and image.shape[2] == 3 and image.size > 0
    if image.dtype != np.uint8 or not shaped:
        raise ImageError(
            "an image is uint8 of shape (height, width, 3) with at least one pixel, not "
            f"{image.dtype} of {image.shape}"
        )
    return np.array(image, order="C")  # a copy: the caller's may be read-only, or change later


def as_batch(images: ImageLike | Sequence[ImageLike]) -> tuple[list[np.ndarray], bool]:
    """Convert one image or several to a list of arrays.

    Args:
        images: An image as for `as_pixels`, a sequence of them, or uint8 RGB (batch, height, width,
            3).

    Returns:
        The images as `as_pixels` returns them, and True if a sequence or a batch was given.

    Raises:
        ImageError: As for `as_pixels`.
    """
    if isinstance(images, Sequence) and not isinstance(images, str):
        return [as_pixels(image) for image in images], True
    if isinstance(images, np.ndarray) and images.ndim == 4:
        return [as_pixels(image) for image in images], True
    return [as_pixels(images)], False


def read_image(path: Path) -> np.ndarray:
    """Read a picture as 8-bit RGB, turned upright.

    EXIF orientation is applied. Greyscale becomes three equal channels, 16-bit greyscale is scaled
    so that 65535 becomes 255, palettes and CMYK are converted. Alpha is dropped and does not change
    the stored colours. The first of several pictures in a file is read.

    Args:
        path: A JPEG, PNG, WebP, TIFF or BMP file of at most `MAX_PIXELS` pixels.

    Returns:
        uint8 (height, width, 3).

    Raises:
        ImageError: The file is missing, empty, truncated, too large or not such a picture.
    """
    image, _ = open_picture(path)
    if not image.mode.startswith("I"):
        return rgb_pixels(image, path)
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() > _LARGEST_16_BIT:
        raise ImageError(
            f"{path}: grey values from {grey.min()} to {grey.max()} do not fit 16 bits; "
            "convert the file to 8- or 16-bit greyscale or to RGB"
        )
    # 65535 is 257 * 255, so this rounds grey / 65535 * 255 to the nearest integer.
    grey = ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def open_picture(path: Path) -> tuple[Image.Image, str]:
    """Open and decode a file and turn it upright; pixels stay as they are stored.

    Returns:
        The picture, and Pillow's name of its storage format, such as "L;4" or "RGB;16B".

    Raises:
        ImageError: The file is missing, empty, truncated, too large or not such a picture.
    """
    try:
        with _quiet_pillow():
            image = Image.open(path, formats=FORMATS)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file; correct the path or restore the file") from None
    except UnidentifiedImageError:
        if path.stat().st_size == 0:
            raise ImageError(f"{path}: the file is empty; copy or export it again") from None
        raise ImageError(
            f"{path}: not a JPEG, PNG, WebP, TIFF or BMP picture, or its beginning is damaged; "
            "convert it or export it again"
        ) from None
    except Exception as error:
        raise _damaged(path, error) from error

    with image:
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(
                f"{path}: {image.width}x{image.height} is more than the {MAX_PIXELS:,} pixels "
                "that a file may have; cut or shrink it"
            )
        storage = (image.tile[0].args if image.tile else None) or image.mode
        rawmode = storage if isinstance(storage, str) else str(storage[0])
        try:
            image.load()
            with _quiet_pillow():
                ImageOps.exif_transpose(image, in_place=True)
        except Exception as error:
            raise _damaged(path, error) from error
    return image, rawmode


def read_header(path: Path) -> Header:
    """Read the pixel format and orientation of a file, without decoding it if possible.

    Args:
        path: A file that `open_picture` reads.

    Raises:
        ImageError: The file is not a readable image.
    """
    try:
        with _quiet_pillow():
            image = Image.open(path, formats=FORMATS)
        with image:
            # EXIF may follow the pixels of a PNG, which Pillow therefore decodes to read it.
            is_png = image.format == "PNG"
            if is_png and not any(mark in path.read_bytes() for mark in _EXIF_IN_PNG):
                return Header(image.mode, 1)
            with _quiet_pillow():
                orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            return Header(image.mode, orientation if orientation in _TURNED else 1)
    except Exception as error:
        raise _damaged(path, error) from error


def rgb_pixels(image: Image.Image, path: Path) -> np.ndarray:
    """Return the colours of a picture of 8 bits per channel.

    Palettes are looked up, CMYK is converted, alpha is dropped.

    Args:
        image: A picture from `open_picture`.
        path: Its file, for messages.

    Returns:
        uint8 (height, width, 3).

    Raises:
        ImageError: The pixels are floating-point numbers.
    """
    if image.mode == "F":
        raise ImageError(
            f"{path}: floating-point pixels have no known range; "
            "convert the file to 8-bit RGB or to 8- or 16-bit greyscale"
        )
    return np.array(_colours(image, path))


def _colours(image: Image.Image, name: str | Path) -> np.ndarray:
    """Convert to RGB as `rgb_pixels` does, but as a read-only array."""
    try:
        image.load()  # a caller's picture may not be decoded yet
    except Exception as error:
        raise _damaged(name, error) from error
    # Palettes with transparency and premultiplied alpha convert well only by way of plain alpha.
    detour = {"P": "RGBA", "PA": "RGBA", "RGBa": "RGBA", "La": "LA"}.get(image.mode, image.mode)
    return np.asarray(image.convert(detour).convert("RGB"))


def _damaged(path: str | Path, error: Exception) -> ImageError:
    """Return the error for a file that a decoder refuses, for which decoders raise many types."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return ImageError(
        f"{path}: cannot be read, it may be truncated or damaged ({reason}); copy or export it "
        "again"
    )


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Suspend Pillow's warnings and its size limit, which `MAX_PIXELS` replaces.

    Both are settings of the whole process, so threads take turns. Decoding happens outside.
    """
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
