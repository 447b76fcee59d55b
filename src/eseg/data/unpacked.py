"""Checks that a data set lies below its root, in the layout of its archives."""

from __future__ import annotations

import itertools
import re
from pathlib import Path, PurePosixPath

from eseg.data.folder import FolderConfig
from eseg.errors import DataError


def expect_folder(root: Path, folders: tuple[str, ...], source: str) -> str:
    """Return the first of some folders that is there.

    Args:
        root: Where the data set should lie.
        folders: Paths below the root.
        source: Where to get the data set, and which files of it.

    Raises:
        DataError: None of them is there.
    """
    for folder in folders:
        if (root / folder).is_dir():
            return folder
    hint = f"unpack the data set there ({source}), or correct `root` (data.root=PATH in a run)"
    if not root.is_dir():
        hint = f"there is no such folder; {hint}"
    else:
        # Archives bring a folder of their own: the root is often given one level too high.
        for inside in sorted(path for path in root.iterdir() if path.is_dir()):
            if any((inside / folder).is_dir() for folder in folders):
                hint = f"it is in {inside}: give that as `root` (data.root=PATH in a run)"
    raise DataError(f"{root}: expected the folder {' or '.join(folders)} below it; {hint}")


def expect_split(config: FolderConfig, split: str, source: str) -> None:
    """Check that the images and the masks of a split are unpacked.

    Args:
        config: The data set.
        split: The split; one that does not exist passes.
        source: Where to get the data set, and which files of it.

    Raises:
        DataError: The folder of the images or of the masks is not there.
    """
    if split not in config.splits:
        return
    described = config.splits[split]
    for path in (*described.images, *filter(None, [described.masks])):
        fixed = itertools.takewhile(
            lambda part: not re.search(r"[*?\[{]", part), PurePosixPath(path).parts[:-1]
        )
        expect_folder(config.root, (str(PurePosixPath(*fixed)),), source)
