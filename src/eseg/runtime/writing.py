"""Atomic writing of files, and folders with a single writer."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from eseg.errors import OutputError

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

LOCK = ".lock"
"""File in a folder that its writer locks; the file itself stays."""


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Hold a folder's lock until the block or the process ends, so that nobody else writes there.

    File systems and machines without such locks are not protected.

    Args:
        path: The folder; created if necessary.

    Raises:
        OutputError: Another process holds the lock, or the folder cannot be written.
    """
    lock = path / LOCK
    with output_errors(path):
        if path.is_file():
            raise NotADirectoryError(errno.ENOTDIR, "it is a file")
        path.mkdir(parents=True, exist_ok=True)
        file = lock.open("ab")
    with file:
        if not _acquire(file):
            raise OutputError(
                f"{path}: another process is writing there (`fuser {lock}` tells its number); "
                "wait for it, end it, or choose another `output`"
            )
        yield


def _acquire(file: BinaryIO) -> bool:
    """Lock an open file; return False if another process has locked it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES)
    return True


@contextmanager
def replacing(path: Path, *, previous: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path to write to; rename it to `path` once it is on the disk.

    If the block raises, or the disk is full, the old file is untouched. A killed process leaves it
    untouched too, with an unfinished file beside it: see `remove_unfinished`.

    Args:
        path: The file to write.
        previous: New name of the old file, in the same folder; by default it is lost. Between the
            two renamings there is no file at `path` for a moment.

    Raises:
        OSError: The file cannot be written.
    """
    # Not a `tempfile`, which only its owner may read.
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


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8 through `replacing`.

    Raises:
        OSError: The file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON through `replacing`.

    Raises:
        OSError: The file cannot be written.
    """
    write_text(path, json.dumps(value, indent=2) + "\n")


@contextmanager
def output_errors(
    path: Path, argument: str = "output", remedy: str = "make room"
) -> Iterator[None]:
    """Convert an `OSError` of the block into an `OutputError`.

    Args:
        path: File or folder being written, for the message.
        argument: Python argument that names another place.
        remedy: Advice besides another place.

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
    """Remove the files that killed processes have left beside `path` while they wrote it."""
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
