"""What a person looks at after a measurement: a table per class and a sheet of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from eseg.checkpoint import Checkpoint
from eseg.data.dataset import SegmentationDataset
from eseg.inference.predictor import Predictor
from eseg.metrics import confusion_matrix, scores
from eseg.reports.picture_sheet import picture_sheet
from eseg.reports.table import Table
from eseg.runtime.class_table import ClassTable

SHEET_ROWS = 6


def scores_table(classes: ClassTable, result: dict[str, Any]) -> Table:
    """Scores per class and for the whole, `result` being what `Scores.to_dict` gives."""
    total = max(1, sum(result["support"]))
    columns = zip(classes.names, result["iou"], result["accuracy"], result["support"], strict=True)
    rows = [
        [name, _share(iou), _share(recall), f"{support / total:.4f}"]
        for name, iou, recall, support in columns
    ]
    totals = [
        ["mean IoU", _share(result["miou"]), "", ""],
        ["pixel accuracy", _share(result["pixel_accuracy"]), "", ""],
    ]
    headings = ["class", "IoU", "recall", "share of pixels"]
    return Table(headings, rows, totals, strong=frozenset({len(rows)}))


def write_sheet(
    path: Path, checkpoint: Checkpoint, dataset: SegmentationDataset, device: str | None = None
) -> None:
    """Draw image, truth and prediction of a few samples spread evenly over a data set.

    Args:
        path: The picture to write.
        checkpoint: The network that predicts.
        dataset: Where the samples come from.
        device: Where to run it; by default the fastest there is.
    """
    predict = Predictor(checkpoint, device=device)
    rows, captions = [], []
    for index in np.linspace(0, len(dataset) - 1, min(SHEET_ROWS, len(dataset))).astype(int):
        sample = dataset[int(index)]
        labels = predict(sample.image).labels
        rows.append((sample.image, sample.mask, labels))
        captions.append(f"{sample.name}  mIoU {_miou(labels, sample.mask, dataset.classes):.2f}")
    picture_sheet(rows, dataset.classes, captions=captions).save(path)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _miou(labels: np.ndarray, mask: np.ndarray, classes: ClassTable) -> float:
    pair = torch.from_numpy(labels), torch.from_numpy(mask.copy())
    return scores(confusion_matrix(*pair, len(classes))).miou
