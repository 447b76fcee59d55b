"""Cross-entropy over hard pixels (OHEM), the paper's loss, straight from a network's small logits.

The upsampled logits exist strip by strip only (see `upsampled`). Each pixel's loss and normaliser
are kept between the passes, since all pixels must be known before the hard ones can be chosen.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Bool, Float, Float32, Int32, Int64, Integer
from torch import Tensor
from torch.autograd.function import once_differentiable

from eseg.losses.strips import in_strips
from eseg.runtime.class_table import IGNORE_INDEX


def ohem_cross_entropy(
    logits: Float[Tensor, "batch classes rows columns"],
    mask: Integer[Tensor, "batch height width"],
    *,
    threshold: float = 0.7,
    min_kept: float = 1 / 16,
    class_weights: Float[Tensor, " classes"] | None = None,
    ignore_index: int = IGNORE_INDEX,
) -> Float32[Tensor, ""]:
    """Average cross-entropy over hard pixels only (online hard example mining, ESeg 4.1).

    A pixel is hard when the probability of its true class is below `threshold`. If fewer than
    `min_kept` of the valid pixels are hard, that many with the highest loss are used instead;
    pixels that tie for the last place are all used.

    Deviation: the paper gives no numbers; both defaults are ours. A kept share, unlike the
    customary count, means the same for every crop size.

    Everything is computed in float32, under autocast too. Nothing branches on values or waits for
    them, so that a GPU keeps its queue full. On CPUs the result is the same, bit for bit, every
    time. Memory is a few numbers per pixel, whatever the number of classes. Differentiable once.

    Args:
        logits: Unnormalised scores at any resolution; upsampled bilinearly to that of the mask.
        mask: Class ids in [0, classes), or `ignore_index` for pixels without a label.
        threshold: Probability in (0, 1]. The paper gives none; 0.7 is the field's custom.
        min_kept: Share in (0, 1] of the valid pixels, counted over the local batch (one process).
        class_weights: A factor per class on the loss of its pixels; the mean is then weighted, as
            in `torch.nn.functional.cross_entropy`. It does not change which pixels are hard.
        ignore_index: The id of pixels that have no label.

    Returns:
        Mean loss in nats; zero, still attached to the graph, if every pixel is ignored.
    """
    return _Ohem.apply(logits, mask, threshold, min_kept, class_weights, ignore_index)


class _Ohem(torch.autograd.Function):
    """Value and gradient of `ohem_cross_entropy`.

    Powers and logarithms are to base 2, which torch computes on CPUs several times as fast as those
    to base e; the loss of a pixel is turned into nats at the end. Autocast changes none of this.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits: Float[Tensor, "batch classes rows columns"],
        mask: Integer[Tensor, "batch height width"],
        threshold: float,
        min_kept: float,
        class_weights: Float[Tensor, " classes"] | None,
        ignore_index: int,
    ) -> Float32[Tensor, ""]:
        """Compute every pixel's loss strip by strip, then which pixels count."""
        maps, strips = in_strips(logits, mask.shape[1:])
        target = mask.long()  # (batch, height, width), as all that follow
        valid = target != ignore_index
        # Ignored pixels count nothing, so that any class serves for them.
        target = target.where(valid, 0)
        loss = torch.empty(mask.shape, device=logits.device)
        normalizer = torch.empty_like(loss)
        for images, rows, scores in strips.walk(maps * math.log2(math.e)):
            highest = scores.amax(2, keepdim=True)  # (images, rows, 1, width)
            scores -= highest
            true = scores.gather(2, target[images, rows].unsqueeze(2))  # (images, rows, 1, width)
            log_sum = scores.exp2_().sum(2, keepdim=True).log2_()  # (images, rows, 1, width)
            torch.sub(log_sum, true, out=loss[images, rows].unsqueeze(2))
            torch.add(log_sum, highest, out=normalizer[images, rows].unsqueeze(2))
        loss = (loss * math.log(2)).where(valid, 0)
        counted = pixel_weights(loss, target, valid, threshold, min_kept, class_weights)
        ctx.save_for_backward(logits, target, normalizer, counted)
        return (loss * counted).sum() / _total(counted)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Return the gradient by the logits; the other inputs have none."""
        return _gradient(*grad_outputs, *ctx.saved_tensors), None, None, None, None, None


@once_differentiable
def _gradient(
    grad: Float32[Tensor, ""],
    logits: Float[Tensor, "batch classes rows columns"],
    target: Int64[Tensor, "batch height width"],
    normalizer: Float32[Tensor, "batch height width"],
    counted: Float32[Tensor, "batch height width"],
) -> Float[Tensor, "batch classes rows columns"]:
    """Compute each strip again and turn it into weight x (probability - truth)."""
    maps, strips = in_strips(logits, target.shape[1:])
    # The weight becomes a part of the exponent: 2^(score - normalizer) x weight.
    normalizer = normalizer - counted.log2()

    def strip_gradient(strip: Tensor, images: slice, rows: slice) -> Tensor:
        strip -= normalizer[images, rows].unsqueeze(2)  # (images, rows, classes, width)
        strip.exp2_()
        true = target[images, rows].unsqueeze(2)  # (images, rows, 1, width)
        return strip.scatter_add_(2, true, -counted[images, rows].unsqueeze(2))

    gradient = torch.empty_like(logits, dtype=torch.float32)
    gradient.copy_(strips.gradient(maps * math.log2(math.e), strip_gradient).transpose(1, 2))
    gradient *= grad / _total(counted)
    return gradient.to(logits.dtype)


def pixel_weights(
    loss: Float32[Tensor, "batch height width"],
    target: Int64[Tensor, "batch height width"],
    valid: Bool[Tensor, "batch height width"],
    threshold: float,
    min_kept: float,
    class_weights: Float[Tensor, " classes"] | None,
) -> Float32[Tensor, "batch height width"]:
    """Return the weight of each pixel: that of its class if the pixel is hard, otherwise 0.

    Args:
        loss: Cross-entropy of every pixel in nats, at least 0; not read where not `valid`.
        target: Class ids; not read where not `valid`.
        valid: True where there is a label.
        threshold: As for `ohem_cross_entropy`.
        min_kept: As for `ohem_cross_entropy`.
        class_weights: As for `ohem_cross_entropy`.
    """
    counted = _hard_pixels(loss, valid, threshold, min_kept).float()
    if class_weights is None:
        return counted
    return counted * class_weights.float()[target.where(valid, 0)]


def _total(counted: Float32[Tensor, "batch height width"]) -> Float32[Tensor, ""]:
    """Return the divisor of the mean: the sum of the weights, or 1 if that is zero."""
    total = counted.sum()
    return total.where(total > 0, 1)


def _hard_pixels(
    loss: Float32[Tensor, "batch height width"],
    valid: Bool[Tensor, "batch height width"],
    threshold: float,
    min_kept: float,
) -> Bool[Tensor, "batch height width"]:
    """Mark the pixels that count; see `ohem_cross_entropy` for the rule."""
    if min_kept == 1:
        return valid
    # Non-negative floats are ordered as their bits are. The sign, which only a zero or a NaN can
    # have here, is cleared. A NaN then ranks above everything, so that it always counts and a
    # broken network does not look healthy.
    bits = loss.view(torch.int32) & 0x7FFFFFFF  # (batch, height, width)
    rank = (min_kept * valid.sum()).ceil().long().clamp(min=1)  # ()
    return valid & ((loss > -math.log(threshold)) | (bits >= _highest(bits, valid, rank)))


def _highest(
    values: Int32[Tensor, "batch height width"],
    valid: Bool[Tensor, "batch height width"],
    rank: Int64[Tensor, ""],
) -> Int64[Tensor, ""]:
    """Find the `rank`-th highest of the valid values, all of them non-negative.

    Sorting would take longer than everything else in the loss. Counting does not: first how many
    values have each upper half, then how many of those with the right one have each lower half.
    The rank stays on the device, and the result does not depend on the order of counting.
    """
    highest = torch.zeros_like(rank)  # ()
    for half in (values >> 16, values & 0xFFFF):
        count = torch.zeros(1 << 16, dtype=torch.int32, device=values.device)  # (65536,)
        count.index_add_(0, half.flatten(), valid.flatten().int())
        at_least = count.flip(0).cumsum(0).flip(0)  # (65536,)
        # If no value is valid, none reaches the rank, and any result will do.
        found = ((at_least >= rank).sum() - 1).clamp(min=0)  # ()
        highest = (highest << 16) | found
        rank = rank - (at_least.take(found) - count.take(found))
        valid = valid & (half == found)
    return highest
