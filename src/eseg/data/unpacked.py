"""Whether an official data set lies where the user says, and where to get it if it does not."""

from __future__ import annotations

from pathlib import Path

from eseg.errors import DataError


def expect_folder(root: Path, folders: tuple[str, ...], source: str) -> str:
    """The first of some folders that a root has.

    Args:
        root: Where the user says that the data set lies.
        folders: Paths below the root.
        source: Where to get the data set, and which files of it.

    Raises:
        DataError: It has none of them.
    """
    for folder in folders:
        if (root / folder).is_dir():
            return folder
    hint = f"unpack the data set there ({source}), or correct the root (data.root=PATH, --root)"
    if not root.is_dir():
        hint = f"there is no such folder; {hint}"
    else:
        # Archives bring a folder of their own: the root is often given one level too high.
        for inside in sorted(path for path in root.iterdir() if path.is_dir()):
            if any((inside / folder).is_dir() for folder in folders):
                hint = f"it is in {inside}: give that as the root (data.root=PATH, --root)"
    raise DataError(f"{root}: expected the folder {' or '.join(folders)} below it; {hint}")
