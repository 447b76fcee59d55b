"""Images that the ranges of 8-bit numbers are taken from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from eseg.data.dataset import SegmentationDataset, evenly_spaced
from eseg.reports.reporter import SILENT, Reporter
from eseg.runtime.engine import Engine


class CalibrationImages:
    """Images spread evenly over a split, read anew each time they are gone through.

    Args:
        dataset: The split.
        limit: Number of images at most.
        engine: The network that is calibrated, which brings them to size.
        reporter: Shows progress.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        limit: int,
        engine: Engine,
        reporter: Reporter = SILENT,
    ) -> None:
        self.dataset, self.engine, self.reporter = dataset, engine, reporter
        self.indices = evenly_spaced(len(dataset), min(limit, len(dataset)))

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield uint8 RGB (1, height, width, 3); raise `DataError` if one cannot be read."""
        for index in self.reporter.track(self.indices, description="calibrating"):
            yield self.engine.preprocess(np.ascontiguousarray(self.dataset[index].image)[None])
