"""From images to labels: at one scale, or averaged over scales and mirror images (section 4.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from eseg.inference.labels import upsample_labels, upsample_labels_with_confidence
from eseg.models import ESeg


def label_images(
    model: ESeg,
    image: Float[Tensor, "batch channels height width"],
    *,
    dtype: torch.dtype | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    with_confidence: bool = False,
) -> tuple[UInt8[Tensor, "batch height width"], Float32[Tensor, "batch height width"] | None]:
    """Label whole images at their own size.

    Args:
        model: The network in evaluation mode.
        image: RGB in [0, 1], on the network's device.
        dtype: Type for autocast, or None for fp32.
        scales: Factors by which the image is resized, each above 0; several are averaged.
        flip: Average with the mirror image too.
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
            confidence, ids = averaged_probs(model, image, scales, flip).max(dim=1)
            return ids.to(torch.uint8), confidence.float() if with_confidence else None
        logits = model.logits(image)
    if with_confidence:
        return upsample_labels_with_confidence(logits, size)
    return upsample_labels(logits, size), None


def averaged_probs(
    model: ESeg,
    image: Float[Tensor, "batch channels height width"],
    scales: Sequence[float],
    flip: bool,
) -> Float[Tensor, "batch classes height width"]:
    """Class probabilities at the image's size, averaged over every scale and orientation.

    Args:
        model: The network in evaluation mode.
        image: RGB in [0, 1].
        scales: Factors by which the image is resized, each above 0; the paper's teacher uses
            0.5, 1.0 and 2.0.
        flip: Whether the mirror image is run at every scale too.

    Raises:
        ValueError: There is no scale, or one is not above 0.
    """
    check_scales(scales)
    size = image.shape[-2:]
    total = image.new_zeros(())
    for scale in scales:
        scaled_size = [max(1, round(side * scale)) for side in size]
        scaled = _resize(image, scaled_size)
        for mirrored in (False, True) if flip else (False,):
            logits = model.logits(scaled.flip(-1) if mirrored else scaled)
            logits = logits.flip(-1) if mirrored else logits
            # The head's map reaches up to a cell beyond the image where its size is no multiple of
            # the stride; resizing it to the image's size is what training does too.
            total = total + _resize(logits.float(), size).softmax(dim=1)
    return total / (len(scales) * (1 + flip))


def check_scales(scales: Sequence[float]) -> None:
    """Refuse scales that no image can be resized by, with a `ValueError`."""
    if not scales or not 0 < min(scales) <= max(scales) < math.inf:
        raise ValueError(f"scales must be factors above 0, not {list(scales)}")


def _resize(x: Tensor, size: Sequence[int] | torch.Size) -> Tensor:
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    # Antialiasing takes effect where an image shrinks, as in the training's resize.
    shrinks = size[0] < x.shape[-2] or size[1] < x.shape[-1]
    return F.interpolate(
        x, size=tuple(size), mode="bilinear", align_corners=False, antialias=shrinks
    )
