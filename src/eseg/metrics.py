"""Accuracy of label maps: one confusion matrix over a whole split, and scores computed from it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Int64, Integer
from torch import Tensor

from eseg.runtime.class_table import IGNORE_INDEX


def confusion_matrix(
    prediction: Integer[Tensor, "*batch height width"],
    mask: Integer[Tensor, "*batch height width"],
    num_classes: int,
    ignore_index: int = IGNORE_INDEX,
) -> Int64[Tensor, "classes classes"]:
    """Count the pixels of every pair (true class, predicted class).

    Args:
        prediction: Class ids in [0, num_classes) wherever the mask has a label; anything elsewhere.
        mask: True class ids in [0, num_classes), or `ignore_index` for pixels that do not count.
        num_classes: Number of classes.
        ignore_index: The id of pixels that have no label.

    Returns:
        Pixel counts; the row is the true class, the column the predicted one.

    Raises:
        ValueError: If a counted pixel's id is outside [0, num_classes).
    """
    truth, predicted = mask.long(), prediction.long()
    valid = truth != ignore_index
    for name, ids in (("mask", truth), ("prediction", predicted)):
        outside = valid & ((ids < 0) | (ids >= num_classes))
        if outside.any():
            raise ValueError(
                f"{name} holds the class id {int(ids[outside][0])}, but ids go from 0 to "
                f"{num_classes - 1}, and only {ignore_index} in the mask means 'no label'"
            )
    # An extra bin for the pixels without a label is many times faster than selecting the others.
    unlabelled = num_classes**2
    pairs = (truth * num_classes + predicted).where(valid, unlabelled).flatten()
    counts = torch.bincount(pairs, minlength=unlabelled + 1)[:unlabelled]
    return counts.reshape(num_classes, num_classes)


class ConfusionMatrix:
    """A confusion matrix summed over batches, and over the processes of a run.

    Attributes:
        matrix: int64 pixel counts, (classes, classes); the row is the true class.
    """

    matrix: Int64[Tensor, "classes classes"]

    def __init__(
        self,
        num_classes: int,
        ignore_index: int = IGNORE_INDEX,
        device: torch.device | str = "cpu",
    ) -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)

    def update(
        self,
        prediction: Integer[Tensor, "*batch height width"],
        mask: Integer[Tensor, "*batch height width"],
    ) -> None:
        """Add the pixels of one batch or image; see `confusion_matrix` for the arguments."""
        counts = confusion_matrix(prediction, mask, self.num_classes, self.ignore_index)
        self.matrix += counts.to(self.matrix.device)

    def all_reduce(self) -> None:
        """Sum over all processes; call it once, after the last update, in every process.

        It has no effect in a run of one process.
        """
        if dist.is_available() and dist.is_initialized():
            device = "cuda" if dist.get_backend() == "nccl" else "cpu"
            total = self.matrix.to(device)
            dist.all_reduce(total)
            self.matrix = total.to(self.matrix.device)


@dataclass(frozen=True)
class Scores:
    """Scores of a confusion matrix, each in [0, 1] or NaN where undefined.

    Attributes:
        miou: Mean IoU over the classes that count; see `scores`.
        pixel_accuracy: Share of the labelled pixels that are right.
        iou: Intersection over union per class; NaN if in neither truth nor prediction.
        accuracy: Share of each class's own pixels that are right (recall); NaN without pixels.
        support: Labelled pixels of each class.
    """

    miou: float
    pixel_accuracy: float
    iou: list[float]
    accuracy: list[float]
    support: list[int]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON, with None for NaN."""
        return {name: _without_nan(value) for name, value in asdict(self).items()}


def scores(matrix: Int64[Tensor, "classes classes"], *, absent_counts: bool = False) -> Scores:
    """Turn pixel counts into scores, in float64 (ESeg 4.1: mIoU over one confusion matrix).

    A class that is in neither truth nor prediction is left out of the mean.

    Args:
        matrix: Counts as `confusion_matrix` returns them.
        absent_counts: If True, a class that is predicted but in no mask counts as 0 in the mean,
            as in some data sets' own evaluation; if False, it is left out of the mean as well. Its
            entry in `iou` is 0 either way.

    Returns:
        Scores for the whole and per class.
    """
    counts = matrix.cpu()
    right = counts.diagonal()
    true = counts.sum(dim=1)
    union = true + counts.sum(dim=0) - right
    iou = right.double() / union  # (classes,); 0 / 0 is NaN, as wanted
    in_mean = (union if absent_counts else true) > 0
    return Scores(
        miou=iou[in_mean].mean().item(),
        pixel_accuracy=(right.sum().double() / true.sum()).item(),
        iou=iou.tolist(),
        accuracy=(right.double() / true).tolist(),
        support=true.tolist(),
    )


def _without_nan(value: Any) -> Any:
    """Replace NaN by None, in lists too."""
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if math.isnan(value) else value
