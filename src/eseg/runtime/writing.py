"""Files that are whole or not there, and folders that one process writes at a time."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from eseg.errors import OutputError

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

LOCK = ".lock"
"""The file in a folder that its writer holds; the file itself stays."""


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Keep every other such block away from a folder until this one ends, or its process does.

    Where the file system or the machine has no such locks nothing is done.

    Args:
        path: The folder; it is made if need be.

    Raises:
        OutputError: Somebody else is in such a block, or the folder cannot be written.
    """
    lock = path / LOCK
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = lock.open("ab")
    except OSError as error:
        reason = "it is a file" if path.is_file() else error
        raise OutputError(
            f"{path}: cannot be written ({reason}); make room or choose another --output"
        ) from error
    with file:
        if not _is_claimed(file):
            raise OutputError(
                f"{path}: another process is writing there (`fuser {lock}` tells its number); "
                "wait for it, end it, or choose another --output"
            )
        yield


def _is_claimed(file: BinaryIO) -> bool:
    """Lock an open file, unless somebody else has; True too where there are no locks."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES)
    return True


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


@contextmanager
def output_errors(
    path: Path, argument: str = "output", remedy: str = "make room"
) -> Iterator[None]:
    """Turn what the disk refuses into one clear error.

    Args:
        path: What is being written, for the message.
        argument: The Python argument that names another place.
        remedy: What may help besides another place.

    Raises:
        OutputError: The block raised an `OSError`.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"{path}: cannot be written ({reason}); {remedy}, or choose another `{argument}`"
        ) from error


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
