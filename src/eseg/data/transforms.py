"""The paper's augmentation, random scale, crop and mirror image (ESeg 4.1), and `to_float`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image, ImageEnhance
from torch import Tensor

from eseg.runtime.class_table import IGNORE_INDEX, Sample
from eseg.runtime.resizing import ResizeConfig

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean RGB of ImageNet in [0, 1]."""

_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


@dataclass(frozen=True)
class AugmentConfig:
    """Random variations of training samples.

    Attributes:
        crop: Size of the result in pixels, (height, width).
        scale: Smallest and largest factor by which an image is resized, drawn uniformly; it is
            relative to the size that `data.resize` gives.
        flip: Probability of the mirror image.
        brightness: Strength b in [0, 1]: the factor is drawn uniformly from [1 - b, 1 + b]. It is
            0 (off) by default, as are the next two: the paper does not use them.
        contrast: The same for contrast.
        saturation: The same for saturation.
        pad_colour: RGB in [0, 1] where the crop extends beyond the image; by default ImageNet's
            mean, which most backbones, and the Lite one, subtract.
    """

    crop: tuple[int, int]
    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    pad_colour: tuple[float, float, float] = IMAGENET_MEAN

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if min(self.crop) < 1:
            raise ValueError(f"crop: (height, width) are at least 1 pixel, not {self.crop}")
        low, high = self.scale
        if not 0 < low <= high < math.inf:
            raise ValueError(f"scale: smallest and largest factor, 0 < a <= b, not {self.scale}")
        for name in ("flip", "brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: lies in [0, 1], not {getattr(self, name)}")
        if not all(0 <= value <= 1 for value in self.pad_colour):
            raise ValueError(f"pad_colour: RGB values lie in [0, 1], not {self.pad_colour}")


@dataclass(frozen=True)
class CropWindow:
    """The position of a crop on the resized image.

    Attributes:
        scaled: Size of the whole image after resizing, (height, width).
        offset: Row and column of the crop's corner on the resized image; negative where the crop
            begins before the image does.
        crop: Size of the crop, (height, width).
    """

    scaled: tuple[int, int]
    offset: tuple[int, int]
    crop: tuple[int, int]

    @property
    def target(self) -> tuple[slice, slice]:
        """Rows and columns of the crop that the image fills; the rest is padding."""
        rows, columns = (
            slice(start - self.offset[axis], stop - self.offset[axis])
            for axis, (start, stop) in enumerate((self.covered(0), self.covered(1)))
        )
        return rows, columns

    def covered(self, axis: int) -> tuple[int, int]:
        """Return the first and last + 1 row (axis 0) or column (1) of the image in the crop."""
        start = max(self.offset[axis], 0)
        return start, min(self.offset[axis] + self.crop[axis], self.scaled[axis])


def draw_window(
    size: tuple[int, int], config: AugmentConfig, rng: np.random.Generator
) -> CropWindow:
    """Draw the scale of an image and the position of the crop on it.

    Every position of the crop on the scaled image is equally likely. Along an axis where the scaled
    image is smaller than the crop, every position of the image in the crop is.

    Args:
        size: The image's (height, width).
        config: The ranges to draw from.
        rng: Source of randomness; the factor, the row and the column are drawn in this order.
    """
    factor = rng.uniform(*config.scale)
    height, width = (max(1, round(length * factor)) for length in size)
    slack = (height - config.crop[0], width - config.crop[1])
    row, column = (int(rng.integers(min(0, room), max(0, room), endpoint=True)) for room in slack)
    return CropWindow((height, width), (row, column), config.crop)


def resize_image(
    image: UInt8[np.ndarray, "height width 3"], window: CropWindow
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Resize the part of an image in the window, bilinearly with antialiasing.

    Pixels are within one grey level of Pillow's resize of the whole image to `window.scaled`, cut
    to the window. Pillow rounds between its two passes; here nothing is rounded before the end,
    because a cut shifts ties between two grey levels, and in two roundings such shifts add up.
    """
    cuts, box = [], []
    for axis in (0, 1):
        ratio = image.shape[axis] / window.scaled[axis]
        start, stop = (edge * ratio for edge in window.covered(axis))
        # The filter reaches one source pixel beyond its centre, `ratio` pixels when shrinking.
        margin = max(1.0, ratio) + 1
        low = max(0, math.floor(start - margin))
        high = min(image.shape[axis], math.ceil(stop + margin))
        cuts.append(slice(low, high))
        box.append((start - low, min(stop - low, high - low)))
    (top, bottom), (left, right) = box
    rows, columns = (stop - start for start, stop in (window.covered(0), window.covered(1)))

    part = image[cuts[0], cuts[1]].astype(np.float32)  # (source rows, source columns, 3)
    result = np.empty((rows, columns, 3), np.uint8)
    for channel in range(3):
        plane = Image.fromarray(part[..., channel])  # (source rows, source columns)
        plane = plane.resize((columns, rows), Image.Resampling.BILINEAR, (left, top, right, bottom))
        result[..., channel] = np.rint(np.asarray(plane))
    return result


def resize_mask(
    mask: UInt8[np.ndarray, "height width"], window: CropWindow
) -> UInt8[np.ndarray, "rows columns"]:
    """Resize the part of a mask in the window; each pixel takes the label of the nearest one.

    Pixel i of n' takes source pixel floor((i + 1/2) n / n'), in integers and so without rounding.
    """
    rows, columns = (
        (2 * np.arange(*window.covered(axis)) + 1) * mask.shape[axis] // (2 * window.scaled[axis])
        for axis in (0, 1)
    )
    return mask.take(rows, axis=0).take(columns, axis=1)  # (rows, columns)


def jitter_colours(
    image: UInt8[np.ndarray, "height width 3"], config: AugmentConfig, rng: np.random.Generator
) -> UInt8[np.ndarray, "height width 3"]:
    """Vary brightness, contrast and saturation, in this order, where their strength is not zero."""
    strengths = np.array([config.brightness, config.contrast, config.saturation])  # (3,)
    factors = 1 + strengths * rng.uniform(-1, 1, size=3)  # (3,)
    if not strengths.any():
        return image
    picture = Image.fromarray(image)
    for enhance, factor in zip(_ENHANCERS, factors.tolist(), strict=True):
        picture = enhance(picture).enhance(factor)
    return np.asarray(picture)


ColourOperation = Callable[[np.ndarray, AugmentConfig, np.random.Generator], np.ndarray]
"""uint8 RGB (height, width, 3) to the same; it must not write to its input."""

COLOUR_OPERATIONS: tuple[ColourOperation, ...] = (jitter_colours,)
"""Applied in order to the part of the image in the crop; the mask stays as it is.

Further ones go to the end, where they draw after all others and so leave those unchanged.
"""


def augment(
    sample: Sample,
    config: AugmentConfig,
    rng: np.random.Generator,
    resize: ResizeConfig | None = None,
    operations: Sequence[ColourOperation] = COLOUR_OPERATIONS,
) -> tuple[UInt8[Tensor, "3 height width"], UInt8[Tensor, "height width"]]:
    """Scale, crop, mirror and colour one sample at random.

    Size, scale and crop are one step: only the part of the image that the crop shows is resized,
    and once. The result equals that of resizing everything and cutting, at a fraction of the work.

    Args:
        sample: The image and its mask.
        config: The ranges to draw from.
        rng: The only source of randomness. The order and number of draws are fixed, so switching
            one kind of variation off leaves the others as they were.
        resize: The size that the image has before the scale is drawn; None for its own.
        operations: Colour operations in their order.

    Returns:
        Image and mask of size `config.crop`. Both stay 8-bit, a quarter of the memory and of the
        traffic between processes; `to_float` and `.long()` belong on the training device.
    """
    height, width = sample.mask.shape
    size = (height, width) if resize is None else resize.size_of((height, width))
    window = draw_window(size, config, rng)
    mirrored = rng.random() < config.flip
    region = resize_image(sample.image, window)  # (rows, columns, 3)
    for operation in operations:
        region = operation(region, config, rng)

    image = np.empty((*config.crop, 3), np.uint8)  # (height, width, 3) of the crop
    image[:] = np.rint(np.multiply(config.pad_colour, 255)).astype(np.uint8)
    mask = np.full(config.crop, IGNORE_INDEX, np.uint8)  # (height, width)
    image[window.target] = region
    mask[window.target] = resize_mask(sample.mask, window)
    if mirrored:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return (
        torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),  # (3, height, width)
        torch.from_numpy(np.ascontiguousarray(mask)),
    )


def to_float(
    image: UInt8[Tensor, "*batch 3 height width"],
) -> Float32[Tensor, "*batch 3 height width"]:
    """Convert RGB in [0, 255] to RGB in [0, 1], the model's input, on the image's own device."""
    return image.to(torch.float32).div_(255)
