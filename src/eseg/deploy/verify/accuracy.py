"""Accuracy of an exported file on a labelled split, whatever engine runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from eseg import runtime
from eseg.data.dataset import SegmentationDataset
from eseg.metrics import ConfusionMatrix, Scores, scores

Track = Callable[..., Iterable[int]]
"""Shows progress, as `rich.progress.Progress.track` does."""


def file_scores(
    path: Path,
    dataset: SegmentationDataset,
    *,
    track: Track | None = None,
    description: str = "measuring",
) -> Scores:
    """Scores of an exported file that takes every size, at the labels' own size.

    Args:
        path: The file; the engine is that of its suffix.
        dataset: The split, in the file's classes.
        track: Wraps the numbers of the images to show progress.
        description: What the progress is called.

    Raises:
        DataError: An image or a mask cannot be read.
        EngineError: The engine is not installed.
    """
    predict = runtime.Predictor(path)
    matrix = ConfusionMatrix(len(predict.info.names))
    indices: Iterable[int] = range(len(dataset))
    if track is not None:
        indices = track(indices, description=description)
    for index in indices:
        sample = dataset[index]
        labels = predict(sample.image).labels
        matrix.update(torch.from_numpy(labels), torch.from_numpy(np.array(sample.mask)))
    return scores(matrix.matrix, absent_counts=dataset.absent_counts)
