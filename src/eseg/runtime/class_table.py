"""Class tables of data sets, and one labelled image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple, TypeAlias

import numpy as np

from eseg.errors import DataError

IGNORE_INDEX = 255
"""Class id of pixels without label in every mask inside eseg, whatever the files use."""

MAX_CLASSES = 255
"""Labels are 8-bit inside eseg, and `IGNORE_INDEX` is taken."""

_MAX_DIFFERENCES = 3
"""Classes that a message about other classes names."""

Colour: TypeAlias = tuple[int, int, int]
"""(red, green, blue) in [0, 255]."""


@dataclass(frozen=True)
class ClassTable:
    """Classes of a data set, in the order of their ids.

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


def require_same_classes(
    expected: ClassTable | Sequence[str],
    found: ClassTable | Sequence[str],
    what_expected: str,
    what_found: str,
    remedy: str,
) -> None:
    """Refuse class names that differ from the expected ones, or stand in another order.

    Args:
        expected: A class table, or the names in the order of their ids.
        found: The same of the thing to check.
        what_expected: Owner of the expected classes, for the message: "the data set".
        what_found: Owner of the others.
        remedy: Advice at the end of the message.

    Raises:
        DataError: The names differ; the message shows the first that do.
    """
    wanted, given = (
        tuple(table.names if isinstance(table, ClassTable) else table)
        for table in (expected, found)
    )
    differences = [
        _difference(index, ours, theirs)
        for index, (ours, theirs) in enumerate(zip_longest(wanted, given))
        if ours != theirs
    ]
    if differences:
        text = ", ".join(differences[:_MAX_DIFFERENCES])
        if len(differences) > _MAX_DIFFERENCES:
            text += f" and {len(differences) - _MAX_DIFFERENCES} more"
        raise DataError(f"{what_found} has other classes than {what_expected}: {text}; {remedy}")


def _difference(index: int, expected: str | None, found: str | None) -> str:
    if found is None:
        return f"class {index} '{expected}' is missing"
    if expected is None:
        return f"class {index} '{found}' is surplus"
    return f"class {index} is '{found}' instead of '{expected}'"


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
