"""From images to labels: at one scale, or averaged over scales and mirror images (section 4.4)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from eseg.data.transforms import ResizeConfig
from eseg.engines.upsampling_torch import (
    upsample_labels,
    upsample_labels_with_confidence,
    upsample_rows,
)
from eseg.models import ESeg

_STRIP_ELEMENTS = 1 << 20
"""Averaged probabilities held at once, 4 MB; all of a 1024x2048 image in 150 classes are 1.2 GB."""


def label_images(
    model: ESeg,
    image: Float[Tensor, "batch channels height width"],
    *,
    dtype: torch.dtype | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    resize: ResizeConfig | None = None,
    with_confidence: bool = False,
) -> tuple[UInt8[Tensor, "batch height width"], Float32[Tensor, "batch height width"] | None]:
    """Label whole images at their own size.

    Args:
        model: The network in evaluation mode.
        image: RGB in [0, 1], on the network's device.
        dtype: Type for autocast, or None for fp32.
        scales: Factors by which the image is resized, each above 0; several are averaged.
        flip: Average with the mirror image too.
        resize: What the network was trained with: the image is brought to that size first. The
            labels are made at the image's own size straight from the logits.
        with_confidence: Whether the probability of each label is wanted, which costs a softmax at
            full size.

    Returns:
        Class ids, and their probabilities in (0, 1] or None.

    Raises:
        ValueError: There is no scale, or one is not above 0.
    """
    size = (image.shape[-2], image.shape[-1])
    with torch.autocast(image.device.type, dtype=dtype, enabled=dtype is not None):
        if tuple(scales) != (1.0,) or flip:
            strips = averaged_probs(model, image, scales, flip, resize)
            return _most_probable(strips, image, with_confidence)
        logits = model.logits(_to_size(image, resize))
    if with_confidence:
        return upsample_labels_with_confidence(logits, size)
    return upsample_labels(logits, size), None


def averaged_probs(
    model: ESeg,
    image: Float[Tensor, "batch channels height width"],
    scales: Sequence[float],
    flip: bool,
    resize: ResizeConfig | None = None,
) -> Iterator[tuple[slice, Float32[Tensor, "batch classes rows width"]]]:
    """Class probabilities at the image's size, averaged over every scale and orientation.

    They are made in strips of rows, from top to bottom: what is held for the whole image are the
    network's small logits alone.

    Args:
        model: The network in evaluation mode.
        image: RGB in [0, 1].
        scales: Factors by which the image is resized, each above 0; the paper's teacher uses
            0.5, 1.0 and 2.0.
        flip: Whether the mirror image is run at every scale too.
        resize: What the image is brought to first; the scales are relative to that.

    Yields:
        Rows of the image and their probabilities.

    Raises:
        ValueError: There is no scale, or one is not above 0.
    """
    check_scales(scales)
    batch, _, height, width = image.shape
    base = _to_size(image, resize)
    maps = []
    for scale in scales:
        scaled = _resize_image(base, *(max(1, round(side * scale)) for side in base.shape[-2:]))
        maps.append(model.logits(scaled))
        if flip:
            maps.append(model.logits(scaled.flip(-1)).flip(-1))
    step = max(1, _STRIP_ELEMENTS // (batch * maps[0].shape[1] * width))
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        total = upsample_rows(maps[0], rows, (height, width)).softmax(dim=1)
        for logits in maps[1:]:
            total += upsample_rows(logits, rows, (height, width)).softmax(dim=1)
        yield rows, total / len(maps)


def check_scales(scales: Sequence[float]) -> None:
    """Refuse scales that no image can be resized by, with a `ValueError`."""
    if not scales or not 0 < min(scales) <= max(scales) < math.inf:
        raise ValueError(f"scales must be factors above 0, not {list(scales)}")


def _most_probable(
    strips: Iterator[tuple[slice, Tensor]], image: Tensor, with_confidence: bool
) -> tuple[UInt8[Tensor, "batch height width"], Float32[Tensor, "batch height width"] | None]:
    """The class with the highest probability of every pixel, and on request that probability."""
    size = (image.shape[0], *image.shape[-2:])
    labels = torch.empty(size, dtype=torch.uint8, device=image.device)
    confidence = torch.empty(size, device=image.device) if with_confidence else None
    for rows, probs in strips:
        best, ids = probs.max(dim=1)
        labels[:, rows] = ids.byte()
        if confidence is not None:
            confidence[:, rows] = best
    return labels, confidence


def _to_size(image: Tensor, resize: ResizeConfig | None) -> Tensor:
    """An image as the network wants it."""
    if resize is None:
        return image
    return _resize_image(image, *resize.size_of((image.shape[-2], image.shape[-1])))


def _resize_image(image: Tensor, height: int, width: int) -> Tensor:
    if tuple(image.shape[-2:]) == (height, width):
        return image
    # Antialiasing takes effect where an image shrinks, as in the training's resize.
    shrinks = height < image.shape[-2] or width < image.shape[-1]
    return F.interpolate(
        image, size=(height, width), mode="bilinear", align_corners=False, antialias=shrinks
    )
