"""Any folder of images and masks as a data set, described by one YAML file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int16, Int32, Integer, UInt8

from eseg.data.dataset import IGNORE_INDEX, ClassTable, DataError, Sample
from eseg.data.listing import SplitConfig, list_pairs
from eseg.data.reading import read_image, read_mask_colours, read_mask_ids

Colour = tuple[int, int, int]

_IDS = 65_536
_UNLISTED = -1
_SHOWN = 3


@dataclass(frozen=True)
class ClassConfig:
    """One class; its place in the list is its id inside eseg.

    Attributes:
        name: What to call it.
        colour: (red, green, blue) in [0, 255], for pictures, and in colour masks its colour.
        ids: The values in the mask files that mean this class; by default its place in the list.
        colours: Further colours that mean this class in colour masks.
    """

    name: str
    colour: Colour
    ids: tuple[int, ...] = ()
    colours: tuple[Colour, ...] = ()


@dataclass(frozen=True)
class FolderConfig:
    """A data set on the disk; the fields are the keys of its YAML file.

    Attributes:
        name: What to call the data set.
        root: The folder that everything else is relative to.
        splits: Splits by name, usually `train` and `val`.
        classes: The classes in the order of their ids.
        mask_values: Whether masks store ids (greyscale or palette) or are pictures in the
            classes' colours.
        ignore_index: Values in the mask files that mean 'no label'. Any value that is neither
            here nor in a class is an error.
        ignore_colours: The same for colour masks.
        image_suffix: How the images' file names end, as `_leftImg8bit.png`; by default only the
            extension is taken off to make `{stem}`.
    """

    name: str
    root: Path
    splits: dict[str, SplitConfig]
    classes: tuple[ClassConfig, ...]
    mask_values: Literal["ids", "colours"] = "ids"
    ignore_index: tuple[int, ...] = (255,)
    ignore_colours: tuple[Colour, ...] = ()
    image_suffix: str = ""

    def __post_init__(self) -> None:
        """Refuse classes that cannot be told apart."""
        self.class_table()
        self.labels_by_value()

    def class_table(self) -> ClassTable:
        """Names and colours of the classes."""
        return ClassTable(
            tuple(entry.name for entry in self.classes),
            tuple(entry.colour for entry in self.classes),
        )

    def labels_by_value(self) -> dict[int | Colour, int]:
        """What every value in a mask file means: a class id, or `IGNORE_INDEX`.

        The keys are ids, or colours where the masks are pictures.

        Raises:
            DataError: A value has two meanings or lies outside 16 bits (8 in a colour).
        """
        meanings: list[tuple[str, int, tuple[int, ...] | tuple[Colour, ...]]] = []
        for label, entry in enumerate(self.classes):
            values = entry.ids or (label,)
            if self.mask_values == "colours":
                values = (entry.colour, *entry.colours)
            meanings.append((f"class '{entry.name}'", label, values))
        if self.mask_values == "ids":
            meanings.append(("`ignore_index`", IGNORE_INDEX, self.ignore_index))
        else:
            meanings.append(("`ignore_colours`", IGNORE_INDEX, self.ignore_colours))

        owners: dict[int | Colour, str] = {}
        labels: dict[int | Colour, int] = {}
        for owner, label, values in meanings:
            for value in values:
                limit = _IDS if isinstance(value, int) else 256
                if not all(0 <= part < limit for part in np.atleast_1d(value)):
                    raise DataError(f"{owner}: {value} lies outside [0, {limit - 1}]")
                if owners.setdefault(value, owner) != owner:
                    raise DataError(
                        f"{value} stands for {owners[value]} and for {owner}; keep it in one"
                    )
                labels[value] = label
        return labels


class Folder:
    """One split of a data set on the disk; a `SegmentationDataset`.

    That every image has a mask is checked at once, the contents of a file when it is read.

    Attributes:
        config: The description.
        split: The name of the split.
        classes: The classes, ids as in the samples' masks.
        names: One name per sample: the image's path below the root without its extension.
        image_paths: One path per sample, sorted.
        mask_paths: The masks in the same order.
    """

    def __init__(self, config: FolderConfig, split: str) -> None:
        """List the split.

        Raises:
            DataError: There is no such split or root, the split is empty, images lack masks, or
                two images have one name.
        """
        if split not in config.splits:
            raise DataError(
                f"data set '{config.name}' has no split '{split}'; "
                f"there are: {', '.join(config.splits)}"
            )
        if not config.root.is_dir():
            raise DataError(
                f"{config.root}: the root of data set '{config.name}' is no folder; "
                "put the data there, or say where it is with `root` (data.root=PATH)"
            )
        pairs = list_pairs(config.root, config.splits[split], config.image_suffix)
        if not pairs:
            raise DataError(
                f"split '{split}' of data set '{config.name}' is empty: "
                f"{config.splits[split].source} gives nothing in {config.root}; "
                "is the root right (data.root=PATH)?"
            )
        self.config = config
        self.split = split
        self.classes = config.class_table()
        self.image_paths = tuple(config.root / image for image, _ in pairs)
        self.mask_paths = tuple(config.root / mask for _, mask in pairs)
        self.names = tuple(image.with_suffix("").as_posix() for image, _ in pairs)
        self._labels = config.labels_by_value()
        self._check_listing()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            DataError: A file is missing or broken, the sizes differ, or the mask holds a value
                that no class has.
        """
        image = read_image(self.image_paths[index])
        mask = self._read_mask(self.mask_paths[index])
        if mask.shape != image.shape[:2]:
            (height, width), (rows, columns) = image.shape[:2], mask.shape
            hint = "export one of them again at the other's size"
            if (height, width) == (columns, rows):
                hint = "one of them may lack the EXIF orientation of the other: export both upright"
            raise DataError(
                f"{self.mask_paths[index]}: the mask is {columns}x{rows}, its image "
                f"{self.image_paths[index]} is {width}x{height} (width x height); {hint}"
            )
        return Sample(image, mask, self.names[index])

    def _read_mask(self, path: Path) -> UInt8[np.ndarray, "height width"]:
        if self.config.mask_values == "ids":
            values, key = read_mask_ids(path), "ignore_index"
            labels = _look_up_ids(values, self._labels)
        else:
            values, key = read_mask_colours(path), "ignore_colours"
            labels = _look_up_colours(values, self._labels)
        if labels.min() == _UNLISTED:
            unlisted = np.argwhere(labels == _UNLISTED)
            row, column = unlisted[0].tolist()
            value = values[row, column].tolist()
            raise DataError(
                f"{path}: the value {value} at row {row}, column {column} belongs to no class of "
                f"data set '{self.config.name}' ({len(unlisted)} such pixels); correct the mask, "
                f"or add the value to a class or to `{key}` in the data set's YAML"
            )
        return labels.astype(np.uint8)

    def _check_listing(self) -> None:
        what = f"split '{self.split}' of data set '{self.config.name}'"
        for paths, kind in ((self.image_paths, "images"), (self.mask_paths, "masks")):
            missing = [path for path in paths if not path.is_file()]
            if missing:
                shown = ", ".join(str(path) for path in missing[:_SHOWN])
                raise DataError(
                    f"{len(missing)} of the {len(paths)} {kind} of {what} are missing: {shown}"
                    f"{', ...' if len(missing) > _SHOWN else ''}; add the files, correct "
                    f"splits.{self.split} in the data set's YAML, or take their partners away"
                )
        repeated = [name for name, count in Counter(self.names).items() if count > 1]
        if repeated:
            raise DataError(
                f"{len(repeated)} names in {what} stand for several images, among them "
                f"'{repeated[0]}': list each image once, and under one extension"
            )


def _look_up_ids(
    values: Integer[np.ndarray, "height width"], labels: dict[int | Colour, int]
) -> Int16[np.ndarray, "height width"]:
    """Labels of the ids in a mask, `_UNLISTED` where an id has none."""
    table = np.full(_IDS, _UNLISTED, np.int16)
    table[list(labels)] = list(labels.values())
    if values.dtype != np.int32:  # 8 and 16 bits cannot leave the table.
        return table.take(values)
    inside = (values >= 0) & (values < _IDS)
    return np.where(inside, table[np.where(inside, values, 0)], np.int16(_UNLISTED))


def _look_up_colours(
    pixels: UInt8[np.ndarray, "height width 3"], labels: dict[int | Colour, int]
) -> Int16[np.ndarray, "height width"]:
    """Labels of the colours in a mask, `_UNLISTED` where a colour has none."""
    listed = _pack(np.array(list(labels), np.uint8))
    order = np.argsort(listed)
    listed, ids = listed[order], np.array(list(labels.values()), np.int16)[order]
    packed = _pack(pixels)
    place = np.searchsorted(listed, packed).clip(max=len(listed) - 1)
    return np.where(listed[place] == packed, ids[place], np.int16(_UNLISTED))


def _pack(colours: UInt8[np.ndarray, "*places 3"]) -> Int32[np.ndarray, "*places"]:
    """One number per colour."""
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue
