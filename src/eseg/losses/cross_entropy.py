"""Cross-entropy over all labelled pixels, with label smoothing or focal weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Integer
from torch import Tensor

from eseg.losses.upsampled import sum_over_pixels
from eseg.runtime.class_table import IGNORE_INDEX


def cross_entropy(
    logits: Float[Tensor, "batch classes rows columns"],
    mask: Integer[Tensor, "batch height width"],
    *,
    label_smoothing: float = 0.0,
    class_weights: Float[Tensor, " classes"] | None = None,
    ignore_index: int = IGNORE_INDEX,
) -> Float32[Tensor, ""]:
    """Average cross-entropy over the labelled pixels, as `torch.nn.functional.cross_entropy` does.

    Args:
        logits: Unnormalised scores at any resolution; upsampled bilinearly to that of the mask.
        mask: Class ids in [0, classes), or `ignore_index` for pixels without a label.
        label_smoothing: Share of the target spread evenly over all classes, in [0, 1).
        class_weights: A factor per class on the loss of its pixels; the mean is then weighted.
        ignore_index: The id of pixels that have no label.

    Returns:
        Mean loss in nats; zero, still attached to the graph, if every pixel is ignored.
    """

    def sums(scores: Tensor, target: Tensor) -> Tensor:
        loss = F.cross_entropy(
            scores,
            target,
            class_weights,
            ignore_index=ignore_index,
            reduction="sum",
            label_smoothing=label_smoothing,
        )
        return torch.stack([loss, _pixel_weights(target, class_weights, ignore_index).sum()])

    loss, weight = sum_over_pixels(sums, logits, mask)
    return loss / weight.where(weight > 0, 1)


def focal(
    logits: Float[Tensor, "batch classes rows columns"],
    mask: Integer[Tensor, "batch height width"],
    *,
    gamma: float = 2.0,
    class_weights: Float[Tensor, " classes"] | None = None,
    ignore_index: int = IGNORE_INDEX,
) -> Float32[Tensor, ""]:
    """Average the focal loss (1 - p)^gamma x -log p over the labelled pixels (Lin et al., 2017).

    Here p is the probability of a pixel's true class.

    Args:
        logits: Unnormalised scores at any resolution; upsampled bilinearly to that of the mask.
        mask: Class ids in [0, classes), or `ignore_index` for pixels without a label.
        gamma: Exponent, 0 or more; the larger, the less easy pixels count.
        class_weights: A factor per class on the loss of its pixels; the mean is then weighted.
        ignore_index: The id of pixels that have no label.

    Returns:
        Mean loss in nats; zero, still attached to the graph, if every pixel is ignored.
    """

    def sums(scores: Tensor, target: Tensor) -> Tensor:
        loss = F.cross_entropy(scores, target, ignore_index=ignore_index, reduction="none")
        # At p = 1 the power has an infinite slope for gamma below 1; the clamp makes it zero.
        error = (-torch.expm1(-loss)).clamp(min=1e-12)  # (images, rows, width): 1 - p
        weight = _pixel_weights(target, class_weights, ignore_index)
        return torch.stack([(weight * error**gamma * loss).sum(), weight.sum()])

    loss, weight = sum_over_pixels(sums, logits, mask)
    return loss / weight.where(weight > 0, 1)


def _pixel_weights(target: Tensor, class_weights: Tensor | None, ignore_index: int) -> Tensor:
    """Return the weight of each pixel's class, or 0 where there is no label."""
    valid = target != ignore_index
    if class_weights is None:
        return valid.float()
    return class_weights.float()[target.where(valid, 0)] * valid
