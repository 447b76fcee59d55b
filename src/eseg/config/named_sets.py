"""Data sets that have a name in place of a YAML: one record each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from eseg.config.schema import STREETS, DataConfig
from eseg.data import ade20k, camvid, cityscapes, vistas
from eseg.data.dataset import SegmentationDataset
from eseg.data.folder import FolderConfig
from eseg.runtime.class_table import ClassTable
from eseg.streets import CLASSES, Streets


@dataclass(frozen=True)
class ServerFiles:
    """Files that a test server takes: greyscale PNGs of the data set's own ids, in one folder.

    Attributes:
        suffix: End of a file's name, after the image's stem.
        ids: The id of each class; None for those in the masks.
    """

    suffix: str = ".png"
    ids: tuple[int, ...] | None = None


@dataclass(frozen=True)
class NamedSet:
    """A data set that is known by name, either on the disk (`describe`) or generated (`generate`).

    Attributes:
        source: Where to get it, and which files of it.
        classes: Its classes; None if only the files that come with it name them.
        describe: Describes the files below a root; raises `DataError` for a wrong root.
        generate: Opens a split without files, from the run's data config and the split's name.
        server: Files that its test server takes; None if there is no server.
    """

    source: str
    classes: ClassTable | None = None
    describe: Callable[[Path], FolderConfig] | None = None
    generate: Callable[[DataConfig, str], SegmentationDataset] | None = None
    server: ServerFiles | None = None

    def __post_init__(self) -> None:
        """Refuse a record that cannot be opened."""
        if (self.describe is None) == (self.generate is None):
            raise ValueError("a named data set has either `describe` or `generate`")


NAMED_SETS = {
    STREETS: NamedSet(
        "rendered by eseg", CLASSES, generate=lambda data, split: Streets(split, data.streets)
    ),
    "cityscapes": NamedSet(
        cityscapes.SOURCE,
        cityscapes.CLASSES,
        cityscapes.describe,
        server=ServerFiles("_labelIds.png", cityscapes.LABEL_IDS),
    ),
    "ade20k": NamedSet(ade20k.SOURCE, ade20k.CLASSES, ade20k.describe, server=ServerFiles()),
    "vistas": NamedSet(vistas.SOURCE, None, vistas.describe, server=ServerFiles()),
    "vistas_v2": NamedSet(vistas.SOURCE, None, vistas.describe_v2, server=ServerFiles()),
    "camvid": NamedSet(camvid.SOURCE, camvid.CLASSES, camvid.describe),
}
"""By the name that `data.dataset` takes; `eseg.data.dataset_names` lists the same names."""
