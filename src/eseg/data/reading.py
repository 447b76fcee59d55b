"""Image and mask files as arrays; every fault of a file is a `DataError`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from eseg.errors import DataError, ImageError
from eseg.runtime import images

_GREY_STEPS = {"L;2": 85, "L;4": 17}
"""Pillow stretches 2- and 4-bit greyscale to 0..255; dividing by the step gives the values back."""


def read_image(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """Read a picture as 8-bit RGB, turned upright.

    `eseg.runtime.images.read_image`, which it calls, documents the conversion of each kind of
    file.

    Args:
        path: A JPEG, PNG, WebP, TIFF or BMP file of at most `eseg.runtime.images.MAX_PIXELS`.

    Raises:
        DataError: The file is missing, empty, truncated, too large or not such a picture.
    """
    with _data_errors():
        return images.read_image(path)


def read_mask_ids(path: Path) -> Integer[np.ndarray, "height width"]:
    """Read the ids that a mask stores, unscaled and unmapped.

    8- and 16-bit greyscale give their values, palette files their indices (not their colours),
    1-bit files 0 and 1, 2- and 4-bit files 0 to 3 and 0 to 15. RGB is accepted where its three
    channels agree everywhere; alpha is dropped. EXIF orientation is applied as it is to images.

    Args:
        path: A PNG, TIFF, BMP or lossless WebP file of at most `eseg.runtime.images.MAX_PIXELS`.

    Returns:
        uint8, uint16 or, for 32-bit files, int32 values.

    Raises:
        DataError: As for `read_image`; also for colours, for floating point, and for lossy
            compression (JPEG), which invents ids along every edge.
    """
    image, rawmode = _open_lossless(path)
    if image.mode == "1":
        return np.array(image, dtype=np.uint8)
    if image.mode == "I":
        return np.array(image)
    if image.mode.startswith("I;16"):
        return np.array(image).astype(np.uint16)  # In this machine's byte order.
    if image.mode in ("L", "P", "LA", "PA"):
        values = np.array(image.getchannel(0))
        return values // _GREY_STEPS[rawmode] if rawmode in _GREY_STEPS else values
    if image.mode in ("RGB", "RGBA") and ";16" not in rawmode:  # Those come without low bytes.
        pixels = np.asarray(image)
        if (pixels[..., :2] == pixels[..., 1:3]).all():
            return pixels[..., 0].copy()
        raise DataError(
            f"{path}: a mask in colours where ids are expected; say `mask_values: colours` in the "
            "data set's YAML to read it through the classes' colours",
            "colours for ids",
        )
    raise DataError(
        f"{path}: a mask stored as {rawmode} holds no ids; "
        "save it as 8- or 16-bit greyscale or palette PNG",
        "colours for ids",
    )


def read_mask_colours(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """Read the colours of a mask; palettes are looked up, alpha is dropped.

    Args:
        path: As for `read_mask_ids`.

    Raises:
        DataError: As for `read_image`; also for lossy compression, which invents colours.
    """
    image, _ = _open_lossless(path)
    if image.mode.startswith("I"):
        raise DataError(
            f"{path}: a 16- or 32-bit mask where colours are expected; "
            "say `mask_values: ids` in the data set's YAML to read it by its values",
            "ids for colours",
        )
    with _data_errors():
        return images.rgb_pixels(image, path)


def _open_lossless(path: Path) -> tuple[Image.Image, str]:
    """Open a mask and give its raw mode; refuse lossy compression, which changes its values."""
    with _data_errors():
        image, rawmode = images.open_picture(path)
    if _is_lossy(image, path):
        raise DataError(
            f"{path}: a mask in lossy compression (JPEG) has wrong labels along every edge; "
            "export it again as PNG from the original labels",
            "lossy mask",
        )
    return image, rawmode


def _is_lossy(image: Image.Image, path: Path) -> bool:
    if image.format == "WEBP":
        # The bitstream's chunk follows the header at once, or after "VP8X" and metadata.
        with path.open("rb") as file:
            file.seek(12)
            while (header := file.read(8))[:4] not in (b"VP8L", b"VP8 ", b""):
                size = int.from_bytes(header[4:], "little")
                file.seek(size + size % 2, 1)
        return header[:4] != b"VP8L"
    return image.format in ("JPEG", "MPO") or image.info.get("compression") == "jpeg"


@contextmanager
def _data_errors() -> Iterator[None]:
    """Turn errors about images into errors about the data set, with the remedy for it."""
    try:
        yield
    except ImageError as error:
        message = f"{error}, or take it out of the data set"
        raise DataError(message, "unreadable file") from error.__cause__
