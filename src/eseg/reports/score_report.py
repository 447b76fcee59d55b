"""Table of scores per class, and sheet of pictures with their predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eseg.data.dataset import SegmentationDataset
from eseg.metrics import confusion_matrix, scores
from eseg.reports.picture_sheet import picture_sheet
from eseg.reports.table import Table
from eseg.runtime.class_table import ClassTable

SHEET_ROWS = 6


def scores_table(names: Sequence[str], result: dict[str, Any]) -> Table:
    """Return scores per class and in total, `result` being that of `Scores.to_dict`."""
    total = max(1, sum(result["support"]))
    columns = zip(names, result["iou"], result["accuracy"], result["support"], strict=True)
    rows = [
        (name, format_score(iou), format_score(recall), f"{support / total:.4f}")
        for name, iou, recall, support in columns
    ]
    totals = [
        ("mean IoU", format_score(result["miou"]), "", ""),
        ("pixel accuracy", format_score(result["pixel_accuracy"]), "", ""),
    ]
    headings = ("class", "IoU", "recall", "share of pixels")
    return Table(headings, rows, totals, strong=frozenset({len(rows)}))


def format_score(value: float | None) -> str:
    """Format a score or a share with four digits; None as a dash."""
    return "-" if value is None else f"{value:.4f}"


def write_sheet(
    path: Path, predict: Callable[[np.ndarray], np.ndarray], dataset: SegmentationDataset
) -> None:
    """Draw image, truth and prediction of a few samples spread evenly over a data set.

    Args:
        path: The picture to write.
        predict: Maps an image, uint8 RGB (height, width, 3), to labels, uint8 (height, width).
        dataset: Source of the samples.
    """
    rows, captions = [], []
    for index in np.linspace(0, len(dataset) - 1, min(SHEET_ROWS, len(dataset))).astype(int):
        sample = dataset[int(index)]
        labels = predict(sample.image)
        rows.append((sample.image, sample.mask, labels))
        captions.append(f"{sample.name}  mIoU {_miou(labels, sample.mask, dataset.classes):.2f}")
    picture_sheet(rows, dataset.classes, captions=captions).save(path)


def _miou(labels: np.ndarray, mask: np.ndarray, classes: ClassTable) -> float:
    pair = torch.from_numpy(labels), torch.from_numpy(mask.copy())
    return scores(confusion_matrix(*pair, len(classes))).miou
