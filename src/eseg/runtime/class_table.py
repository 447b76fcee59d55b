"""Classes of a data set, and one labelled image in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from eseg.errors import DataError

IGNORE_INDEX = 255
"""The class id that means 'no label' in every mask inside eseg, whatever the files use."""

MAX_CLASSES = 255
"""Labels are 8-bit inside eseg, and `IGNORE_INDEX` is taken."""

Colour: TypeAlias = tuple[int, int, int]
"""(red, green, blue) in [0, 255]."""


@dataclass(frozen=True)
class ClassTable:
    """The classes of a data set, in the order of their ids.

    Attributes:
        names: One name per class; the position is the class id.
        colours: One colour per class, for pictures and palettes.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]

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
        name: Its name in messages and output files: a path without suffix, unique in its split.
    """

    image: np.ndarray
    mask: np.ndarray
    name: str
