"""Cross-entropy over hard pixels: the rule that chooses them, and the plain form of the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int32, Int64, Integer
from torch import Tensor

from eseg.runtime.class_table import IGNORE_INDEX


@dataclass(frozen=True)
class LossConfig:
    """How hard pixels are chosen and classes weighted.

    With `min_kept` 1 every valid pixel counts: plain mean cross-entropy.

    Attributes:
        threshold: A pixel is hard while its true class has a probability below this; in (0, 1].
        min_kept: Share of a local batch's valid pixels that count at least; in (0, 1].
        class_weights: One positive weight per class, or None for equal weights.
    """

    threshold: float = 0.7
    min_kept: float = 1 / 16
    class_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse values for which the loss means nothing."""
        for name in ("threshold", "min_kept"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, not {value}")
        weights = self.class_weights
        if weights is not None and not all(0 < weight < math.inf for weight in weights):
            raise ValueError(f"class_weights must be positive and finite, not {weights}")


def ohem_cross_entropy(
    logits: Float[Tensor, "batch classes height width"],
    mask: Integer[Tensor, "batch height width"],
    *,
    threshold: float = 0.7,
    min_kept: float = 1 / 16,
    weight: Float[Tensor, " classes"] | None = None,
    ignore_index: int = IGNORE_INDEX,
) -> Float[Tensor, ""]:
    """Cross-entropy averaged over hard pixels only (online hard example mining, ESeg 4.1).

    A pixel is hard when the probability of its true class is below `threshold`. If fewer than
    `min_kept` of the valid pixels are hard, that many with the highest loss are used instead;
    pixels that tie for the last place are all used.

    Deviation: the paper gives no numbers; both defaults are ours. A kept share, unlike the count
    that is customary, means the same for every crop size.

    Everything is computed in float32, under autocast too. Nothing branches on values or waits for
    them, so a GPU keeps its queue full and torch.compile makes one graph.

    Args:
        logits: Unnormalised scores at mask resolution.
        mask: Class ids in [0, classes), or `ignore_index` for pixels without a label.
        threshold: Probability in (0, 1]. The paper gives none; 0.7 is the field's custom.
        min_kept: Share in (0, 1] of the valid pixels, counted over the local batch (one process).
        weight: A factor per class on the loss of its pixels; the mean is then the weighted one, as
            in `torch.nn.functional.cross_entropy`. It has no say in which pixels are hard.
        ignore_index: The id of pixels that have no label.

    Returns:
        Mean loss in nats; zero, still attached to the graph, if every pixel is ignored.
    """
    target = mask.long()
    loss = F.cross_entropy(logits.float(), target, ignore_index=ignore_index, reduction="none")
    valid = target != ignore_index
    counted = pixel_weights(loss.detach(), target, valid, threshold, min_kept, weight)
    return weighted_mean(loss, counted)


def pixel_weights(
    loss: Float32[Tensor, "batch height width"],
    target: Int64[Tensor, "batch height width"],
    valid: Bool[Tensor, "batch height width"],
    threshold: float,
    min_kept: float,
    weight: Float[Tensor, " classes"] | None,
) -> Float32[Tensor, "batch height width"]:
    """How much each pixel counts by the rule of `ohem_cross_entropy`: its class's weight, or 0.

    Args:
        loss: Cross-entropy of every pixel in nats, at least 0; not read where not `valid`.
        target: Class ids, likewise.
        valid: Where there is a label.
        threshold: As for `ohem_cross_entropy`.
        min_kept: As there.
        weight: As there.
    """
    counted = _hard_pixels(loss, valid, threshold, min_kept).float()
    return counted if weight is None else counted * weight.float()[target.where(valid, 0)]


def weighted_mean(
    loss: Float32[Tensor, "batch height width"], counted: Float32[Tensor, "batch height width"]
) -> Float32[Tensor, ""]:
    """Mean of the loss over what counts; zero if nothing does."""
    return (loss * counted).sum() / total_weight(counted)


def total_weight(counted: Float32[Tensor, "batch height width"]) -> Float32[Tensor, ""]:
    """What the mean is divided by: the sum of the weights, or 1 where that is zero."""
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
    # Numbers that are not negative are ordered as their bits are. The sign, which only a zero or a
    # NaN can have here, is cleared. A NaN then ranks above everything, so it always counts, and a
    # broken network does not look healthy.
    bits = loss.view(torch.int32) & 0x7FFFFFFF
    rank = (min_kept * valid.sum()).ceil().long().clamp(min=1)
    return valid & ((loss > -math.log(threshold)) | (bits >= _highest(bits, valid, rank)))


def _highest(
    values: Int32[Tensor, "batch height width"],
    valid: Bool[Tensor, "batch height width"],
    rank: Int64[Tensor, ""],
) -> Int64[Tensor, ""]:
    """Find the `rank`-th highest of the valid values, none of which is negative.

    Sorting would take longer than everything else in the loss. Counting does not: how many values
    have which upper half, then how many of those with the right one have which lower half. The
    rank stays on the device, and the result does not depend on the order of counting.
    """
    highest = torch.zeros_like(rank)
    for half in (values >> 16, values & 0xFFFF):
        count = torch.zeros(1 << 16, dtype=torch.int32, device=values.device)
        count.index_add_(0, half.flatten(), valid.flatten().int())
        at_least = count.flip(0).cumsum(0).flip(0)
        # Where nothing is valid none reaches the rank, and any value will do.
        found = ((at_least >= rank).sum() - 1).clamp(min=0)
        highest = (highest << 16) | found
        rank = rank - (at_least.take(found) - count.take(found))
        valid = valid & (half == found)
    return highest
