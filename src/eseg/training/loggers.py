"""Log of a run: JSON lines and TensorBoard events."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from eseg.runtime.writing import write_text

LOG = "log.jsonl"


class RunLog:
    """Writer of records to `log.jsonl` and to TensorBoard event files.

    Args:
        folder: Folder of the run.
        resume_at: Last step whose records are kept, so that the log of a resumed run has no step
            twice; None starts an empty log.

    Raises:
        OSError: A file cannot be written; so may all methods.
    """

    def __init__(self, folder: Path, resume_at: int | None = None) -> None:
        self.path = folder / LOG
        last_step = -1 if resume_at is None else resume_at
        self.history = [r for r in read_log(self.path) if r["step"] <= last_step]
        write_text(self.path, "".join(map(_line, self.history)))
        # Unbuffered: a line that the disk refused must not be written when the file is closed.
        self._file = self.path.open("ab", buffering=0)
        self._hook = threading.excepthook
        threading.excepthook = self._leave_to_caller
        self._events = SummaryWriter(folder / "tensorboard", purge_step=last_step + 1)

    def write(self, record: dict[str, Any]) -> None:
        """Append a record; its `step` is the number of optimiser steps done."""
        self.history.append(record)
        rest = memoryview(_line(record).encode())
        while rest:  # a disk that fills up accepts a part first
            rest = rest[self._file.write(rest) :]
        for key, value in record.items():
            if key != "step" and isinstance(value, int | float):
                self._events.add_scalar(key, value, record["step"])

    def flush(self) -> None:
        """Sync the files to the disk, so that no later checkpoint can outlive their content."""
        os.fsync(self._file.fileno())
        self._events.flush()

    def close(self) -> None:
        """Write what is buffered and close the files."""
        self._file.close()
        try:
            self._events.close()
        finally:
            threading.excepthook = self._hook

    def _leave_to_caller(self, failure: threading.ExceptHookArgs) -> None:
        """Suppress the traceback of TensorBoard's thread: the next call here raises its error."""
        is_event_writer = type(failure.thread).__module__.startswith("tensorboard.")
        if not (is_event_writer and isinstance(failure.exc_value, OSError)):
            self._hook(failure)


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read the records of a `log.jsonl`; ignore a last line that a crash cut short."""
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"
