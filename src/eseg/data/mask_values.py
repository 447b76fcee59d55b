"""Class ids from the values in mask files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int16, Int32, Integer, UInt8

from eseg.data.reading import read_mask_colours, read_mask_ids
from eseg.errors import DataError
from eseg.runtime.class_table import Colour

MaskValues = Literal["ids", "colours"]

IDS = 65_536
"""Ids in mask files are below this."""

_UNLISTED = -1


@dataclass(frozen=True)
class MaskReader:
    """Reader of the masks of one data set.

    Attributes:
        name: The data set, for messages.
        mask_values: `ids` if masks store ids, `colours` if they are pictures.
        labels: The meaning of every id or colour: a class id, or `IGNORE_INDEX`.
    """

    name: str
    mask_values: MaskValues
    labels: Mapping[int | Colour, int]

    def __call__(self, path: Path) -> UInt8[np.ndarray, "height width"]:
        """Read a mask as class ids, `IGNORE_INDEX` where there is no label.

        Raises:
            DataError: The file is missing or broken, or holds a value that no class has.
        """
        if self.mask_values == "ids":
            values, key = read_mask_ids(path), "ignore_index"
            labels = _look_up_ids(values, self.labels)
        else:
            values, key = read_mask_colours(path), "ignore_colours"
            labels = _look_up_colours(values, self.labels)
        if labels.min() == _UNLISTED:
            unlisted = np.argwhere(labels == _UNLISTED)
            row, column = unlisted[0].tolist()
            value = values[row, column].tolist()
            raise DataError(
                f"{path}: the value {value} at row {row}, column {column} belongs to no class of "
                f"data set '{self.name}' ({len(unlisted)} such pixels); correct the mask, "
                f"or add the value to a class or to `{key}` in the data set's YAML",
                "unknown value",
            )
        return labels.astype(np.uint8)


def _look_up_ids(
    values: Integer[np.ndarray, "height width"], labels: Mapping[int | Colour, int]
) -> Int16[np.ndarray, "height width"]:
    """Look up the labels of the ids in a mask; `_UNLISTED` where an id has none."""
    table = np.full(IDS, _UNLISTED, np.int16)  # (65536,)
    table[list(labels)] = list(labels.values())
    if values.dtype != np.int32:  # 8 and 16 bits cannot leave the table.
        return table.take(values)
    inside = (values >= 0) & (values < IDS)
    return np.where(inside, table[np.where(inside, values, 0)], np.int16(_UNLISTED))


def _look_up_colours(
    pixels: UInt8[np.ndarray, "height width 3"], labels: Mapping[int | Colour, int]
) -> Int16[np.ndarray, "height width"]:
    """Look up the labels of the colours in a mask; `_UNLISTED` where a colour has none."""
    listed = pack_colours(np.array(list(labels), np.uint8))  # (colours,)
    order = np.argsort(listed)
    listed, ids = listed[order], np.array(list(labels.values()), np.int16)[order]
    packed = pack_colours(pixels)  # (height, width)
    place = np.searchsorted(listed, packed).clip(max=len(listed) - 1)  # (height, width)
    return np.where(listed[place] == packed, ids[place], np.int16(_UNLISTED))


def pack_colours(colours: UInt8[np.ndarray, "*places 3"]) -> Int32[np.ndarray, "*places"]:
    """Pack each colour into one number."""
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue
