"""The data sets that eseg knows by name, each in the layout that its own archives unpack to."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from eseg.data import ade20k, camvid, cityscapes, vistas
from eseg.data.folder import FolderConfig
from eseg.data.unpacked import expect_folder
from eseg.runtime.class_table import ClassTable


@dataclass(frozen=True)
class ServerFiles:
    """The files that a test server takes: greyscale PNGs of the data set's own ids, flat.

    Attributes:
        suffix: What follows an image's stem in the name of its file.
        ids: The id of each class, or None for those in the masks.
    """

    suffix: str = ".png"
    ids: tuple[int, ...] | None = None


@dataclass(frozen=True)
class OfficialSet:
    """One official data set.

    Attributes:
        describe: Looks at the root and says what lies there; raises `DataError` for a wrong root.
        source: Where to get it, and which files of it.
        classes: Its classes, or None where the files that come with it say them.
        server: What its test server takes, if there is one.
    """

    describe: Callable[[Path], FolderConfig]
    source: str
    classes: ClassTable | None = None
    server: ServerFiles | None = None


OFFICIAL = {
    "cityscapes": OfficialSet(
        cityscapes.describe,
        cityscapes.SOURCE,
        cityscapes.CLASSES,
        ServerFiles("_labelIds.png", cityscapes.LABEL_IDS),
    ),
    "ade20k": OfficialSet(ade20k.describe, ade20k.SOURCE, ade20k.CLASSES, ServerFiles()),
    "vistas": OfficialSet(vistas.describe, vistas.SOURCE, server=ServerFiles()),
    "vistas_v2": OfficialSet(vistas.describe_v2, vistas.SOURCE, server=ServerFiles()),
    "camvid": OfficialSet(camvid.describe, camvid.SOURCE, camvid.CLASSES),
}
"""By the name that `data.dataset` and `--data` take."""


def expect_split(config: FolderConfig, split: str, source: str) -> None:
    """Refuse a split of which a half is not there, such as images whose labels are not unpacked.

    Args:
        config: What an official set's `describe` gave.
        split: The split; nothing is said about one that does not exist.
        source: Where to get the data set.

    Raises:
        DataError: The folder of the images or of the masks is not there.
    """
    if split not in config.splits:
        return
    described = config.splits[split]
    for path in (*described.images, *filter(None, [described.masks])):
        expect_folder(config.root, (_folder_of(path),), source)


def _folder_of(path: str) -> str:
    """The part of a path that has neither wildcards nor placeholders, without the file's name."""
    parents = PurePosixPath(path).parts[:-1]
    return str(
        PurePosixPath(*itertools.takewhile(lambda part: not re.search(r"[*?\[{]", part), parents))
    )
