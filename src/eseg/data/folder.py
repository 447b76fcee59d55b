"""A folder of images and masks as a data set, described by one YAML file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eseg.data.listing import SplitConfig, list_pairs
from eseg.data.mask_values import IDS, MaskReader, MaskValues
from eseg.data.reading import read_image
from eseg.errors import DataError
from eseg.runtime.class_table import IGNORE_INDEX, ClassTable, Colour, Sample

_SHOWN = 3


@dataclass(frozen=True)
class ClassConfig:
    """One class; its place in the list is its id inside eseg.

    Attributes:
        name: Its name in reports and pictures.
        colour: (red, green, blue) in [0, 255], used in pictures and to read colour masks.
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
        name: The name of the data set in messages.
        root: The folder that everything else is relative to.
        splits: Splits by name, usually `train` and `val`.
        classes: The classes in the order of their ids.
        mask_values: `ids` if masks store ids (greyscale or palette), `colours` if they are
            pictures in the classes' colours.
        ignore_index: Values in the mask files that mean 'no label'. Any value that is neither
            here nor in a class is an error.
        ignore_colours: The same for colour masks.
        image_suffix: End of the images' file names, such as `_leftImg8bit.png`, that is removed
            to make `{stem}`; by default only the extension is removed.
        absent_counts: If True, a class that is predicted but nowhere true counts as 0 in the mean
            IoU, as in some data sets' own evaluation. If False, it is left out.
    """

    name: str
    root: Path
    splits: dict[str, SplitConfig]
    classes: tuple[ClassConfig, ...]
    mask_values: MaskValues = "ids"
    ignore_index: tuple[int, ...] = (255,)
    ignore_colours: tuple[Colour, ...] = ()
    image_suffix: str = ""
    absent_counts: bool = False

    def __post_init__(self) -> None:
        """Refuse classes that cannot be distinguished."""
        self.class_table()
        self.labels_by_value()

    def class_table(self) -> ClassTable:
        """Return names and colours of the classes."""
        return ClassTable(
            tuple(entry.name for entry in self.classes),
            tuple(entry.colour for entry in self.classes),
        )

    def labels_by_value(self) -> dict[int | Colour, int]:
        """Map every value in mask files to its meaning: a class id, or `IGNORE_INDEX`.

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
                limit = IDS if isinstance(value, int) else 256
                if not all(0 <= part < limit for part in np.atleast_1d(value)):
                    raise DataError(f"{owner}: {value} lies outside [0, {limit - 1}]")
                if owners.setdefault(value, owner) != owner:
                    raise DataError(
                        f"{value} stands for {owners[value]} and for {owner}; keep it in one"
                    )
                labels[value] = label
        return labels

    def mask_reader(self) -> MaskReader:
        """Make the reader of the masks."""
        return MaskReader(self.name, self.mask_values, self.labels_by_value())


class Folder:
    """One split of a data set on the disk; a `SegmentationDataset`.

    The list of files is checked at once: every image has a mask. A file's contents are checked
    when it is read. In a split without masks no pixel has a label.

    Attributes:
        config: The description.
        split: The name of the split.
        classes: The classes, ids as in the samples' masks.
        names: One name per sample: the image's path below the root without its extension.
        image_paths: One path per sample, sorted.
        mask_paths: The masks in the same order; none in a split without masks.
    """

    def __init__(self, config: FolderConfig, split: str) -> None:
        """List the split.

        Raises:
            DataError: There is no such split or root, the split is empty, images lack masks, or
                two images have one name.
        """
        pairs = list_split(config, split)
        self.config = config
        self.split = split
        self.classes = config.class_table()
        self.image_paths = tuple(image for image, _ in pairs)
        self.mask_paths = tuple(mask for _, mask in pairs if mask is not None)
        self.names = tuple(
            image.relative_to(config.root).with_suffix("").as_posix() for image, _ in pairs
        )
        self._read_mask = config.mask_reader()
        for error, _ in listing_faults(config, split, self.image_paths, self.mask_paths):
            raise error

    def __len__(self) -> int:
        return len(self.names)

    @property
    def is_labelled(self) -> bool:
        """True if the split has masks."""
        return self.config.splits[self.split].is_labelled

    @property
    def absent_counts(self) -> bool:
        """True if a class that is predicted but nowhere true counts as 0 in the mean IoU."""
        return self.config.absent_counts

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            DataError: A file is missing or broken, the sizes differ, or the mask holds a value
                that no class has.
        """
        image = read_image(self.image_paths[index])
        if not self.is_labelled:
            mask = np.full(image.shape[:2], IGNORE_INDEX, np.uint8)
            return Sample(image, mask, self.names[index])
        mask = self._read_mask(self.mask_paths[index])
        check_sizes(
            (self.image_paths[index], image.shape[:2]), (self.mask_paths[index], mask.shape)
        )
        return Sample(image, mask, self.names[index])


def list_split(config: FolderConfig, split: str) -> list[tuple[Path, Path | None]]:
    """List the images of a split and their masks, sorted; the files need not exist.

    Raises:
        DataError: There is no such split or root, or the split is empty.
    """
    if split not in config.splits:
        raise DataError(
            f"data set '{config.name}' has no split '{split}'; "
            f"there are: {', '.join(config.splits)}"
        )
    if not config.root.is_dir():
        raise DataError(
            f"{config.root}: the root of data set '{config.name}' is not a folder; "
            "put the data there, or say where it is with `root` (data.root=PATH in a run)"
        )
    pairs = list_pairs(config.root, config.splits[split], config.image_suffix)
    if not pairs:
        raise DataError(
            f"split '{split}' of data set '{config.name}' is empty: "
            f"{config.splits[split].source} gives nothing in {config.root}; "
            "check the patterns and `root` (data.root=PATH in a run)"
        )
    return [
        (config.root / image, None if mask is None else config.root / mask) for image, mask in pairs
    ]


def check_sizes(image: tuple[Path, tuple[int, ...]], mask: tuple[Path, tuple[int, ...]]) -> None:
    """Refuse a mask of another size than its image; each is given as file and (height, width).

    Raises:
        DataError: The sizes differ.
    """
    (image_path, (height, width)), (mask_path, (rows, columns)) = image, mask
    if (height, width) == (rows, columns):
        return
    hint = "export one of them again at the other's size"
    if (height, width) == (columns, rows):
        hint = "one of them may lack the EXIF orientation of the other: export both upright"
    raise DataError(
        f"{mask_path}: the mask is {columns}x{rows}, its image {image_path} is {width}x{height} "
        f"(width x height); {hint}",
        "sizes differ",
    )


def listing_faults(
    config: FolderConfig, split: str, images: Sequence[Path], masks: Sequence[Path]
) -> Iterator[tuple[DataError, list[Path]]]:
    """Find missing files and repeated names in the list of a split.

    Args:
        config: The data set.
        split: The name of the split.
        images: Its images.
        masks: Their masks in the same order.

    Yields:
        An error and all the files that it concerns.
    """
    what = f"split '{split}' of data set '{config.name}'"
    for paths, kind in ((images, "images"), (masks, "masks")):
        missing = [path for path in paths if not path.is_file()]
        if missing:
            shown = ", ".join(str(path) for path in missing[:_SHOWN])
            error = DataError(
                f"{len(missing)} of the {len(paths)} {kind} of {what} are missing: {shown}"
                f"{', ...' if len(missing) > _SHOWN else ''}; add the files, correct "
                f"splits.{split} in the data set's YAML, or take their partners away",
                "missing partner",
            )
            yield error, missing
    counts = Counter(path.with_suffix("") for path in images)
    repeated = [path for path in images if counts[path.with_suffix("")] > 1]
    if repeated:
        name = repeated[0].relative_to(config.root).with_suffix("").as_posix()
        error = DataError(
            f"{len({path.with_suffix('') for path in repeated})} names in {what} stand for several "
            f"images, among them '{name}': list each image once, and under one extension",
            "repeated name",
        )
        yield error, repeated
