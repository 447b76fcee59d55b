"""Folder of a run: config, log, checkpoints and the report at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eseg.checkpoint import load_checkpoint, save_checkpoint
from eseg.config import RunConfig, save_config
from eseg.data.dataset import SegmentationDataset
from eseg.metrics import Scores
from eseg.reports.curve import curve_png
from eseg.reports.reporter import Reporter
from eseg.reports.score_report import scores_table, write_sheet
from eseg.runtime.class_table import ClassTable
from eseg.runtime.predictor import Predictor
from eseg.runtime.writing import output_errors, remove_unfinished, replacing, write_json
from eseg.training.loggers import LOG, RunLog
from eseg.training.state import TrainingState

CONFIG = "config.yaml"
LAST = "last.pt"
"""Checkpoint that a run resumes from."""
PREVIOUS = "previous.pt"
"""The `LAST` before, in case that is damaged."""
BEST = "best.pt"


class RunFolder:
    """Writer of a run's folder; of several processes only the first writes.

    Args:
        path: The folder.
        config: The run.
        classes: Its classes.
        step: Steps done before, in a resumed run; None in a new one.
        active: True if this process writes; otherwise all methods do nothing.

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

    def keep(self, state: TrainingState, scores: Scores) -> float:
        """Log an evaluation, write `best.pt` if it is the best so far; return the best mIoU.

        A run killed between this and `save` has a `best.pt` that its `last.pt` does not know.
        Resumed, it repeats the evaluation and writes the same file again.
        """
        best_miou = self.keep_best(state, scores)
        self.log(state.step, miou=scores.miou, pixel_accuracy=scores.pixel_accuracy)
        return best_miou

    def keep_best(self, state: TrainingState, scores: Scores) -> float:
        """Write `best.pt` if an evaluation is the best so far; return the best mIoU."""
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

        Args:
            val_set: Source of the pictures.
            device: Device that predicts for them.
            reporter: Receiver of the table.
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
