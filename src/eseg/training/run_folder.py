"""The folder of a run: what is written into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from eseg.checkpoint import load_checkpoint, save_checkpoint
from eseg.config import RunConfig, save_config
from eseg.data.dataset import SegmentationDataset
from eseg.errors import CheckpointError
from eseg.metrics import Scores
from eseg.runtime.class_table import ClassTable
from eseg.runtime.writing import remove_unfinished, replacing
from eseg.training.loggers import LOG, RunLog
from eseg.training.run_report import write_report
from eseg.training.state import TrainingState

CONFIG = "config.yaml"
LAST = "last.pt"
"""Where a run goes on from."""
PREVIOUS = "previous.pt"
"""What was `LAST` before, should that be damaged."""
BEST = "best.pt"


class RunFolder:
    """Writes config, log, checkpoints and the report of a run; of several processes one does.

    Args:
        path: The folder.
        config: The run.
        classes: Its classes.
        step: Steps done before, in a resumed run; None in a new one.
        active: Whether this process writes; every method of the others does nothing.

    Raises:
        CheckpointError: The folder cannot be written, or the disk is full; so may all methods.
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
        with self._writing():
            for name in (CONFIG, LAST, BEST, LOG):
                remove_unfinished(path / name)
            with replacing(path / CONFIG) as temporary:
                save_config(config, temporary)
            self._log = RunLog(path, step)

    def log(self, step: int, **figures: Any) -> None:
        """Add figures of a step to the log."""
        if self._log is not None:
            with self._writing():
                self._log.write({"step": step, **figures})

    def keep(self, state: TrainingState, scores: Scores) -> None:
        """Log an evaluation, and write `best.pt` if it is the best so far.

        Killed between this and `save`, a run has a `best.pt` that its `last.pt` does not know;
        resumed, it comes to the same evaluation again and writes the same file.
        """
        self.keep_best(state, scores)
        self.log(state.step, miou=scores.miou, pixel_accuracy=scores.pixel_accuracy)

    def keep_best(self, state: TrainingState, scores: Scores) -> None:
        """Write `best.pt` if an evaluation is the best so far."""
        if state.best is None or scores.miou > state.best["miou"]:
            state.best = scores.to_dict()
            if self._log is not None:
                best = state.to_checkpoint(self.config, self.classes, scores=state.best)
                save_checkpoint(best, self.path / BEST)

    def save(self, state: TrainingState) -> None:
        """Write `last.pt`, from which the run can go on, and keep the one before it."""
        if self._log is not None:
            with self._writing():
                self._log.flush()
            checkpoint = state.to_checkpoint(self.config, self.classes)
            save_checkpoint(checkpoint, self.path / LAST, previous=self.path / PREVIOUS)

    def report(self, val_set: SegmentationDataset, device: str, console: Console) -> None:
        """Write scores, curve and pictures of the best weights and print their table."""
        if self._log is not None:
            best = load_checkpoint(self.path / BEST)
            with self._writing():
                write_report(self.path, best, self._log.history, val_set, device, console)

    def close(self) -> None:
        """Close the log's files."""
        if self._log is not None:
            with self._writing():
                self._log.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CheckpointError(
                f"{self.path}: cannot be written ({error}); make room or choose another --output"
            ) from error
