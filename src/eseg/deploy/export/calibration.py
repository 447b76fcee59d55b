"""The images that the ranges of 8-bit numbers are taken from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from eseg.data.dataset import SegmentationDataset
from eseg.deploy.verify.accuracy import Track
from eseg.runtime.resizing import ResizeConfig, to_size


class CalibrationImages:
    """Images spread evenly over a split, read anew each time they are gone through.

    Args:
        dataset: The split.
        limit: How many images at most.
        track: Wraps the numbers of the images to show progress.
        resize: What the network's images are brought to first.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        limit: int,
        track: Track | None = None,
        resize: ResizeConfig | None = None,
    ) -> None:
        self.dataset = dataset
        count = min(limit, len(dataset))
        self.indices = [place * len(dataset) // count for place in range(count)]
        self.track = track
        self.resize = resize

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield uint8 RGB (1, height, width, 3); raises `DataError` where one cannot be read."""
        indices: Iterable[int] = self.indices
        if self.track is not None:
            indices = self.track(indices, description="calibrating")
        for index in indices:
            image = np.ascontiguousarray(self.dataset[index].image)
            yield to_size(image, self.resize)[None]
