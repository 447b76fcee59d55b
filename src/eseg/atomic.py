"""Files that are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, *, previous: Path | None = None) -> Iterator[Path]:
    """Give a name to write to; the file takes the wanted name once it is on the disk.

    If the block raises, or the disk is full, the file that was there before is untouched. A killed
    process leaves it untouched too, with an unfinished file beside it: see `remove_unfinished`.

    Args:
        path: The file to write.
        previous: A name in the same folder that the file which was there before takes, instead of
            being lost. Between the two renamings there is no file at `path` for a moment.

    Raises:
        OSError: The file cannot be written.
    """
    # Not a `tempfile`, which only its owner may read: colleagues want to use what is written.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        _flush_to_disk(temporary)
        if previous is not None and path.exists():
            path.replace(previous)
        temporary.replace(path)
        with contextlib.suppress(OSError):  # a few network file systems cannot do it for folders
            _flush_to_disk(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)  # there only if something went wrong


def remove_unfinished(path: Path) -> None:
    """Remove what processes that were killed while they wrote `path` have left beside it."""
    prefix = f".{path.name}."
    for file in path.parent.iterdir():
        if file.name.startswith(prefix) and file.name.removeprefix(prefix).isdigit():
            file.unlink(missing_ok=True)


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
