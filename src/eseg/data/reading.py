"""Image and mask files as arrays: one reader each, and one kind of error for everything broken."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from eseg.data.dataset import DataError

MAX_PIXELS = 2**29
"""Largest image read, in pixels (about 23,000 x 23,000).

Reading takes some 15 bytes of memory per pixel: 5.9 GB were measured at 20,000 x 20,000.
"""

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
"""Pillow's names of the formats read; JPEG includes the MPO of phones with several lenses."""

_LARGEST_16_BIT = 65_535
_GREY_STEPS = {"L;2": 85, "L;4": 17}
"""Pillow stretches 2- and 4-bit greyscale to 0..255; dividing by the step gives the values back."""

_pillow_lock = threading.Lock()


def read_image(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """Read a picture as 8-bit RGB, turned upright.

    EXIF orientation is applied. Greyscale becomes three equal channels, 16-bit greyscale is scaled
    so that 65535 becomes 255, palettes and CMYK are converted. Alpha is dropped: the stored colours
    count, also where they are transparent. Of a file with several pictures the first is read.

    Args:
        path: A JPEG, PNG, WebP, TIFF or BMP file of at most `MAX_PIXELS` pixels.

    Raises:
        DataError: The file is missing, empty, truncated, too large or no such picture.
    """
    image, _ = _load(path)
    if not image.mode.startswith("I"):
        return _rgb(image, path)
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() > _LARGEST_16_BIT:
        raise DataError(
            f"{path}: grey values from {grey.min()} to {grey.max()} do not fit 16 bits; "
            "convert the file to 8- or 16-bit greyscale or to RGB"
        )
    # 65535 is 257 * 255, so this rounds grey / 65535 * 255 to the nearest integer.
    grey = ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def read_mask_ids(path: Path) -> Integer[np.ndarray, "height width"]:
    """Read the ids that a mask stores, unscaled and unmapped.

    8- and 16-bit greyscale give their values, palette files their indices (not their colours),
    1-bit files 0 and 1, 2- and 4-bit files 0 to 3 and 0 to 15. RGB is accepted where its three
    channels agree everywhere; alpha is dropped. EXIF orientation is applied as it is to images.

    Args:
        path: A PNG, TIFF, BMP or lossless WebP file of at most `MAX_PIXELS` pixels.

    Returns:
        uint8, uint16 or, for 32-bit files, int32 values.

    Raises:
        DataError: As for `read_image`; also for colours, for floating point, and for lossy
            compression (JPEG), which invents ids along every edge.
    """
    image, rawmode = _load(path, lossless=True)
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
            "data set's YAML to read it through the classes' colours"
        )
    raise DataError(
        f"{path}: a mask stored as {rawmode} holds no ids; "
        "save it as 8- or 16-bit greyscale or palette PNG"
    )


def read_mask_colours(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """Read the colours of a mask; palettes are looked up, alpha is dropped.

    Args:
        path: As for `read_mask_ids`.

    Raises:
        DataError: As for `read_image`; also for lossy compression, which invents colours.
    """
    image, _ = _load(path, lossless=True)
    if image.mode.startswith("I"):
        raise DataError(
            f"{path}: a 16- or 32-bit mask where colours are expected; "
            "say `mask_values: ids` in the data set's YAML to read it by its values"
        )
    return _rgb(image, path)


def _load(path: Path, *, lossless: bool = False) -> tuple[Image.Image, str]:
    """Open, decode and turn upright; every failure becomes a `DataError`.

    Args:
        path: The file.
        lossless: Whether to refuse lossy compression.

    Returns:
        The decoded picture, and Pillow's name for how its pixels are stored ("L;4", "RGB;16B").
    """
    try:
        with _quiet_pillow():
            image = Image.open(path, formats=FORMATS)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; correct the path or restore the file") from None
    except UnidentifiedImageError:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty; copy or export it again") from None
        raise DataError(
            f"{path}: not a JPEG, PNG, WebP, TIFF or BMP picture, or its beginning is damaged; "
            "convert it, export it again, or take it out of the data set"
        ) from None
    except Exception as error:
        raise _damaged(path, error) from error

    with image:
        if image.width * image.height > MAX_PIXELS:
            raise DataError(
                f"{path}: {image.width}x{image.height} is more than the {MAX_PIXELS:,} pixels "
                "that a file may have; cut or shrink it"
            )
        if lossless and _is_lossy(image, path):
            raise DataError(
                f"{path}: a mask in lossy compression (JPEG) has wrong labels along every edge; "
                "export it again as PNG from the original labels"
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


def _damaged(path: Path, error: Exception) -> DataError:
    """Name a file whose bytes a decoder refuses; decoders raise nearly any type for that."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return DataError(
        f"{path}: cannot be read, it may be truncated or damaged ({reason}); "
        "copy or export it again, or take it out of the data set"
    )


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


def _rgb(image: Image.Image, path: Path) -> UInt8[np.ndarray, "height width 3"]:
    if image.mode == "F":
        raise DataError(
            f"{path}: floating-point pixels have no known range; "
            "convert the file to 8-bit RGB or to 8- or 16-bit greyscale"
        )
    # Palettes with transparency and premultiplied alpha convert well only by way of plain alpha.
    detour = {"P": "RGBA", "PA": "RGBA", "RGBa": "RGBA", "La": "LA"}.get(image.mode, image.mode)
    return np.array(image.convert(detour).convert("RGB"))


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Keep Pillow from warning, and from applying its own size limit (there is `MAX_PIXELS`).

    Both settings belong to the whole process, so threads take turns; decoding stays outside.
    """
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
