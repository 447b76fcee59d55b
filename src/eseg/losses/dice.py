"""Soft Dice loss: overlap of predicted and true areas, class by class."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float32, Integer
from torch import Tensor

from eseg.losses.upsampled import sum_over_pixels
from eseg.runtime.class_table import IGNORE_INDEX


def dice(
    logits: Float[Tensor, "batch classes rows columns"],
    mask: Integer[Tensor, "batch height width"],
    *,
    ignore_index: int = IGNORE_INDEX,
) -> Float32[Tensor, ""]:
    """Average 1 - 2 x overlap / (predicted area + true area) over the classes in the mask.

    Areas are sums over all labelled pixels of the local batch: of probabilities for the predicted
    area, of probabilities on the class's own pixels for the overlap.

    Args:
        logits: Unnormalised scores at any resolution; upsampled bilinearly to that of the mask.
        mask: Class ids in [0, classes), or `ignore_index` for pixels without a label.
        ignore_index: The id of pixels that have no label.

    Returns:
        Loss in [0, 1]; zero, still attached to the graph, if every pixel is ignored.
    """
    classes = logits.shape[1]

    def sums(scores: Tensor, target: Tensor) -> Tensor:
        valid = target != ignore_index  # (images, rows, width)
        index = target.where(valid, 0)

        def by_class(values: Tensor) -> Tensor:
            return values.new_zeros(classes).index_add(0, index.flatten(), values.flatten())

        probs = scores.softmax(1).where(valid.unsqueeze(1), 0)  # (images, classes, rows, width)
        own = probs.gather(1, index.unsqueeze(1))  # (images, 1, rows, width)
        return torch.stack([by_class(own), probs.sum((0, 2, 3)), by_class(valid.float())])

    overlap, predicted, true = sum_over_pixels(sums, logits, mask)  # (classes,) each
    present = true > 0
    loss = 1 - 2 * overlap / (predicted + true).where(present, 1)
    return (loss * present).sum() / present.sum().clamp(min=1)
