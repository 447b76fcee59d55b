"""What every data set offers: classes, samples, and one kind of error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

IGNORE_INDEX = 255
"""The class id that means 'no label' in every mask inside eseg, whatever the files use."""

MAX_CLASSES = 255
"""Masks are 8-bit inside eseg, and 255 is taken."""


Fault = Literal[
    "unreadable file",
    "lossy mask",
    "colours for ids",
    "ids for colours",
    "sizes differ",
    "unknown value",
    "missing partner",
    "repeated name",
]
"""What can be wrong with the files of a data set."""


class DataError(ValueError):
    """The user's data is wrong; the message names the file, the value and the remedy.

    Attributes:
        fault: Which sort of fault of the files it is, for whoever sorts them; None for others.
    """

    def __init__(self, message: str, fault: Fault | None = None) -> None:
        super().__init__(message)
        self.fault: Fault | None = fault


@dataclass(frozen=True)
class ClassTable:
    """The classes of a data set, in the order of their ids.

    Attributes:
        names: One name per class; the position is the class id.
        colours: One (red, green, blue) triple in [0, 255] per class, for pictures and palettes.
    """

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        """Refuse tables that cannot be drawn or stored."""
        if not 1 <= len(self.names) <= MAX_CLASSES:
            raise DataError(f"a class table has 1 to {MAX_CLASSES} classes, not {len(self.names)}")
        if len(self.names) != len(self.colours):
            raise DataError(f"{len(self.names)} class names but {len(self.colours)} colours")
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated:
            raise DataError(f"class names must differ; given twice: {', '.join(repeated)}")

    def __len__(self) -> int:
        return len(self.names)


class Sample(NamedTuple):
    """One labelled image as it comes from the disk or the generator.

    Attributes:
        image: uint8 RGB, (height, width, 3).
        mask: uint8 class ids in [0, classes) or `IGNORE_INDEX`, (height, width).
        name: What to call it in messages and output files: a path without suffix, unique in
            its split.
    """

    image: np.ndarray
    mask: np.ndarray
    name: str


@runtime_checkable
class SegmentationDataset(Protocol):
    """Anything with classes, a length and samples; `streets` and `folder` are two."""

    @property
    def classes(self) -> ClassTable:
        """Names and colours, in the order of the ids in the masks."""
        ...

    def __len__(self) -> int:
        """Number of samples in the split."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """Read one sample; raises `DataError` naming the file where it is broken."""
        ...
