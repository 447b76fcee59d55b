"""Checkpoint that an interrupted run resumes from, and the conditions for it."""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from eseg.checkpoint import Checkpoint, load_checkpoint
from eseg.config import RunConfig, to_plain
from eseg.errors import CheckpointError
from eseg.reports.reporter import Reporter
from eseg.runtime.class_table import ClassTable, require_same_classes
from eseg.training.run_folder import BEST, LAST, PREVIOUS
from eseg.training.run_settings import list_changes

CHANGEABLE_KEYS = (
    "data.dataset", "data.root", "data.pseudo.dataset", "data.pseudo.root", "init",
    "loader", "train.eval_every", "train.checkpoint_every", "train.log_every",
)  # fmt: skip
"""Keys that a resumed run may change: locations, and values without effect on the weights."""


def require_unused(output: Path) -> None:
    """Refuse to start a run where it would overwrite another one.

    Raises:
        CheckpointError: The folder holds a run.
    """
    if (output / LAST).exists() or (output / PREVIOUS).exists():
        raise CheckpointError(
            f"{output} holds a run already; go on with it by `resume`, or choose another `output`"
        )
    if (output / BEST).exists():
        raise CheckpointError(
            f"{output / BEST} exists and would be overwritten; choose another `output`, or move "
            "it away"
        )


def find_resumable(
    output: Path, config: RunConfig, classes: ClassTable, reporter: Reporter
) -> Checkpoint | None:
    """Load the checkpoint to resume from; return None if the run has not written one yet.

    Raises:
        CheckpointError: The checkpoint, or the best weights beside it, are damaged or belong to
            another run than that of `config`.
        DataError: The data set has other classes, `classes`, than the checkpoint.
    """
    path = output / LAST
    if not path.exists() and (output / PREVIOUS).exists():
        path = output / PREVIOUS  # killed between two renamings
    if not path.exists():
        require_unused(output)
        reporter.say(f"nothing to resume in {output} yet: a new run")
        return None
    checkpoint = _load(path)
    if not checkpoint.training:
        raise CheckpointError(
            f"{path} holds weights for use but no state to resume from; is it a copy of {BEST}?"
        )
    whose, remedy = f"the run of {path}", "restore it, or choose another `output`"
    require_same_classes(checkpoint.classes, classes, whose, "the data set", remedy)
    changed = list_changes(checkpoint.run, to_plain(config), CHANGEABLE_KEYS)
    if changed:
        raise CheckpointError(
            f"{path} belongs to another run; these values differ: {', '.join(changed)}. Restore "
            "them, or start anew with another `output`"
        )
    reporter.say(f"going on from {path}, step {checkpoint.step}")
    return _with_best(checkpoint, output / BEST, reporter)


def _load(path: Path) -> Checkpoint:
    """Read a checkpoint; if it is damaged, tell how to resume from the one before it."""
    try:
        return load_checkpoint(path)
    except CheckpointError as error:
        best = shlex.quote(str(path.with_name(BEST)))
        remedy = f"There is none before it: start anew, perhaps from init.checkpoint={best}"
        previous = path.with_name(PREVIOUS)
        if path != previous:
            with suppress(CheckpointError):
                step = load_checkpoint(previous).step
                files = shlex.join([str(previous), str(path)])
                remedy = (
                    f"The one before it, of step {step}, is intact: mv {files}, then the same "
                    "command again"
                )
        raise CheckpointError(f"{error}. {remedy}") from None


def _with_best(checkpoint: Checkpoint, path: Path, reporter: Reporter) -> Checkpoint:
    """Check the best weights that the run remembers; forget them if the file is missing."""
    best = checkpoint.training.get("best")
    if best is None:
        return checkpoint
    if not path.exists():
        reporter.say(
            f"{path} is missing, and with it the best weights so far (mIoU {best['miou']:.4f}): "
            "the next evaluation, of the last step's weights if no step is left, counts as the best"
        )
        return replace(checkpoint, training=checkpoint.training | {"best": None})
    try:
        load_checkpoint(path)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}. To go on without the best weights so far: rm {shlex.quote(str(path))}, "
            "then the same command again"
        ) from None
    return checkpoint
