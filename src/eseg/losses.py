"""The training loss: cross-entropy over the pixels the network still gets wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from eseg.data.dataset import IGNORE_INDEX


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
    counted = _hard_pixels(loss.detach(), valid, threshold, min_kept).float()
    if weight is not None:
        counted = counted * weight.float()[target.where(valid, 0)]
    # Multiplied, not selected: the NaN of a labelled pixel is never "hard", and a broken network
    # would look healthy.
    total = counted.sum()
    return (loss * counted).sum() / total.where(total > 0, 1)


def _hard_pixels(
    loss: Float[Tensor, "batch height width"],
    valid: Bool[Tensor, "batch height width"],
    threshold: float,
    min_kept: float,
) -> Bool[Tensor, "batch height width"]:
    """Mark the pixels that count; see `ohem_cross_entropy` for the rule."""
    if min_kept == 1:
        return valid
    # Below every true loss, so that pixels without a label are the last to be ranked.
    ranked = loss.where(valid, -1.0)
    # The wanted rank depends on the number of valid pixels, which only the device knows; its
    # largest possible value depends on the shape alone. Rank up to that, then look up.
    most = math.ceil(min_kept * ranked.numel())
    highest = ranked.flatten().topk(most).values
    rank = (min_kept * valid.sum()).ceil().long().clamp(1, most) - 1
    return valid & ((ranked > -math.log(threshold)) | (ranked >= highest.take(rank)))
