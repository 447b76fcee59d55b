"""What an interrupted run goes on from, and when it may."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from eseg.checkpoint import Checkpoint, load_checkpoint
from eseg.config import RunConfig, to_plain
from eseg.errors import CheckpointError
from eseg.runtime.class_table import ClassTable
from eseg.training.run_folder import BEST, LAST, PREVIOUS
from eseg.training.run_settings import changes

_MAY_CHANGE = (
    "data.dataset", "data.root", "data.pseudo.dataset", "data.pseudo.root", "init",
    "loader", "train.eval_every", "train.checkpoint_every", "train.log_every",
)  # fmt: skip
"""Keys that a resumed run may change: where things lie, and what has no say in the weights."""


def require_unused(output: Path) -> None:
    """Refuse to start a run where another one would be overwritten.

    Raises:
        CheckpointError: The folder holds a run.
    """
    if (output / LAST).exists() or (output / PREVIOUS).exists():
        raise CheckpointError(
            f"{output} holds a run already; go on with it by `eseg train --resume`, "
            "or choose another --output"
        )
    if (output / BEST).exists():
        raise CheckpointError(
            f"{output / BEST} is there already, and would be overwritten; choose another "
            "--output, or move it away"
        )


def find_resumable(
    output: Path, config: RunConfig, classes: ClassTable, console: Console
) -> Checkpoint | None:
    """The checkpoint to go on from, or None where a run has not got as far as writing one.

    Args:
        output: The run's folder.
        config: The run.
        classes: The classes of its data set as it is now.
        console: Where to say what is gone on from.

    Raises:
        CheckpointError: The checkpoint, or the best weights beside it, are damaged, or they are
            those of another run.
    """
    path = output / LAST
    if not path.exists() and (output / PREVIOUS).exists():
        path = output / PREVIOUS  # killed between two renamings
    if not path.exists():
        require_unused(output)
        console.print(Text(f"nothing to resume in {output} yet: a new run"), soft_wrap=True)
        return None
    checkpoint = _load(path)
    if not checkpoint.training:
        raise CheckpointError(
            f"{path} has weights for use but nothing to go on training from; is it a copy of "
            f"{BEST}?"
        )
    if checkpoint.classes.names != classes.names:
        raise CheckpointError(
            f"{path} was trained on the classes {', '.join(checkpoint.classes.names)}; the data "
            f"set now has {', '.join(classes.names)}. Restore it, or choose another --output"
        )
    _require_same_run(checkpoint, config, path)
    console.print(Text(f"going on from {path}, step {checkpoint.step}"), soft_wrap=True)
    return _with_best(checkpoint, output / BEST, console)


def _load(path: Path) -> Checkpoint:
    """Read a checkpoint; if it is damaged, say how to go on from the one before it."""
    try:
        return load_checkpoint(path)
    except CheckpointError as error:
        previous = path.with_name(PREVIOUS)
        try:
            step = load_checkpoint(previous).step if path != previous else None
        except CheckpointError:
            step = None
        best = shlex.quote(str(path.with_name(BEST)))
        way_out = f"There is none before it: start anew, from init.checkpoint={best} perhaps"
        if step is not None:
            files = shlex.join([str(previous), str(path)])
            way_out = (
                f"The one before it, of step {step}, is whole: mv {files}, then the same command "
                "again"
            )
        raise CheckpointError(f"{error}. {way_out}") from None


def _require_same_run(checkpoint: Checkpoint, config: RunConfig, path: Path) -> None:
    changed = changes(checkpoint.run, to_plain(config), _MAY_CHANGE)
    if changed:
        raise CheckpointError(
            f"{path} belongs to another run; these values differ: {', '.join(changed)}. Restore "
            "them, or start anew with another --output"
        )


def _with_best(checkpoint: Checkpoint, path: Path, console: Console) -> Checkpoint:
    """Make sure that the best weights which the run remembers are there, or let it forget them."""
    best = checkpoint.training.get("best")
    if best is None:
        return checkpoint
    if not path.exists():
        gone = (
            f"{path} is gone, and with it the best weights so far (mIoU {best['miou']:.4f}): the "
            "next evaluation, of the last step's weights if no step is left, counts as the best"
        )
        console.print(Text(gone), soft_wrap=True)
        return replace(checkpoint, training=checkpoint.training | {"best": None})
    try:
        load_checkpoint(path)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}. To go on without the best weights so far: rm {shlex.quote(str(path))}, "
            "then the same command again"
        ) from None
    return checkpoint
