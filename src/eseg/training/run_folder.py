"""The folder of a run: what is written into it, and when it may be used."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from eseg.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from eseg.config import RunConfig, save_config
from eseg.data.dataset import ClassTable, SegmentationDataset
from eseg.metrics import Scores
from eseg.training.loggers import RunLog
from eseg.training.report import write_report
from eseg.training.state import BEST, LAST, TrainingState


class RunFolder:
    """Writes config, log, checkpoints and the report of a run; of several processes one does.

    Args:
        path: The folder; it is made if need be.
        config: The run.
        classes: Its classes.
        step: Steps done before, in a resumed run.
        active: Whether this process writes; every method of the others does nothing.

    Raises:
        CheckpointError: The folder cannot be written.
    """

    def __init__(
        self, path: Path, config: RunConfig, classes: ClassTable, *, step: int, active: bool
    ) -> None:
        self.path = path
        self.config = config
        self.classes = classes
        self._log: RunLog | None = None
        if not active:
            return
        try:
            path.mkdir(parents=True, exist_ok=True)
            save_config(config, path / "config.yaml")
            self._log = RunLog(path, step)
        except OSError as error:
            raise CheckpointError(
                f"{path}: cannot be written ({error}); choose another --output"
            ) from None

    def log(self, step: int, **figures: float | int) -> None:
        """Add figures of a step to the log."""
        if self._log is not None:
            self._log.write({"step": step, **figures})

    def keep(self, state: TrainingState, scores: Scores) -> None:
        """Log an evaluation, and write `best.pt` if it is the best so far."""
        if state.best is None or scores.miou > state.best["miou"]:
            state.best = scores.to_dict()
            if self._log is not None:
                best = state.to_checkpoint(self.config, self.classes, scores=state.best)
                save_checkpoint(best, self.path / BEST)
        self.log(state.step, miou=scores.miou, pixel_accuracy=scores.pixel_accuracy)

    def save(self, state: TrainingState) -> None:
        """Write `last.pt`, from which the run can go on."""
        if self._log is not None:
            save_checkpoint(state.to_checkpoint(self.config, self.classes), self.path / LAST)

    def report(self, val_set: SegmentationDataset, device: str, console: Console) -> None:
        """Write scores, curve and pictures of the best weights and print their table."""
        if self._log is not None:
            best = load_checkpoint(self.path / BEST)
            write_report(self.path, best, self._log.history, val_set, device, console)

    def close(self) -> None:
        """Close the log's files."""
        if self._log is not None:
            self._log.close()
