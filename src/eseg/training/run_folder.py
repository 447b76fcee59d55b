"""Folder of a run: config, log, checkpoints and the report at the end."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from eseg.checkpoint import load_checkpoint, save_checkpoint
from eseg.config import RunConfig, save_config
from eseg.data.dataset import SegmentationDataset
from eseg.metrics import Scores
from eseg.reports.curve import curve_png
from eseg.reports.reporter import Reporter
from eseg.reports.score_report import scores_table, write_sheet
from eseg.runtime.class_table import ClassTable
from eseg.runtime.predictor import Predictor
from eseg.runtime.writing import output_errors, remove_unfinished, replacing, write_json, write_text
from eseg.training.state import TrainingState

CONFIG = "config.yaml"
LAST = "last.pt"
"""Checkpoint that a run resumes from."""
PREVIOUS = "previous.pt"
"""The `LAST` before, in case that is damaged."""
BEST = "best.pt"
LOG = "log.jsonl"


class RunFolder:
    """Writer of a run's folder; of several processes only the first is `active` and writes.

    A resumed run passes the `step` that it goes on from; None starts a new one.

    Raises:
        OutputError: The folder cannot be written; so may all methods.
    """

    def __init__(
        self, path: Path, config: RunConfig, classes: ClassTable, *, step: int | None, active: bool
    ) -> None:
        self.path = path
        self.config = config
        self.classes = classes
        self._log: RunLog | None = None
        if not active:
            return
        with output_errors(path):
            for name in (CONFIG, LAST, BEST, LOG):
                remove_unfinished(path / name)
            with replacing(path / CONFIG) as temporary:
                save_config(config, temporary)
            self._log = RunLog(path, step)

    def log(self, step: int, **figures: Any) -> None:
        """Add figures of a step to the log."""
        if self._log is not None:
            with output_errors(self.path):
                self._log.write({"step": step, **figures})

    def keep_best(self, state: TrainingState, scores: Scores) -> float:
        """Write `best.pt` if an evaluation is the best so far; return the best mIoU.

        A run killed between this and `save` has a `best.pt` that its `last.pt` does not know.
        Resumed, it repeats the evaluation and writes the same file again.
        """
        if state.best is None or scores.miou > state.best["miou"]:
            state.best = scores.to_dict()
            if self._log is not None:
                best = state.to_checkpoint(self.config, self.classes, scores=state.best)
                save_checkpoint(best, self.path / BEST)
        return state.best["miou"]

    def save(self, state: TrainingState) -> None:
        """Write `last.pt`, from which the run can resume, and keep the one before it."""
        if self._log is not None:
            with output_errors(self.path):
                self._log.flush()
            checkpoint = state.to_checkpoint(self.config, self.classes)
            save_checkpoint(checkpoint, self.path / LAST, previous=self.path / PREVIOUS)

    def report(self, val_set: SegmentationDataset, device: str, reporter: Reporter) -> None:
        """Write `scores.json`, `curve.png` and `sheet.png` of the best weights; show the scores.

        The pictures are of `val_set`.
        """
        if self._log is None:
            return
        best = load_checkpoint(self.path / BEST)
        curve, sheet = self.path / "curve.png", self.path / "sheet.png"
        with output_errors(self.path):
            result = {"step": best.step, "classes": best.classes.names, **best.scores}
            write_json(self.path / "scores.json", result)
            curve_png(self._log.history, curve)
            predictor = Predictor(best, device=device)
            write_sheet(sheet, lambda image: predictor(image).labels, val_set)
        reporter.show(scores_table(best.classes.names, best.scores))
        reporter.say(f"curve {curve}, pictures {sheet}")

    def close(self) -> None:
        """Close the log's files."""
        if self._log is not None:
            with output_errors(self.path):
                self._log.close()


class RunLog:
    """Writer of records to a run's `log.jsonl` and to TensorBoard event files.

    Records after step `resume_at` are dropped, so that the log of a resumed run has no step twice;
    None starts an empty log.

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
