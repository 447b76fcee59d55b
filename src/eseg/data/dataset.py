"""The contract of a data set: classes, a length, and samples."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from eseg.runtime.class_table import ClassTable, Sample


@runtime_checkable
class SegmentationDataset(Protocol):
    """One split of a data set; `Folder` and `Streets` are two implementations."""

    @property
    def classes(self) -> ClassTable:
        """Names and colours, in the order of the ids in the masks."""
        ...

    @property
    def absent_counts(self) -> bool:
        """True if a class that is predicted but nowhere true counts as 0 in the mean IoU."""
        ...

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """Read one sample; raise `DataError` naming the file where it is broken."""
        ...


def evenly_spaced(length: int, count: int) -> list[int]:
    """Return `count` indices in [0, length), spread evenly from the first on."""
    return [place * length // count for place in range(count)]
