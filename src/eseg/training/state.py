"""All that changes while a network trains, and its way into a checkpoint and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim import SGD

from eseg.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from eseg.config import RunConfig, to_plain
from eseg.data.dataset import ClassTable
from eseg.models import ESeg
from eseg.training.ema import WeightAverage
from eseg.training.optim import build_optimizer

LAST = "last.pt"
BEST = "best.pt"

_MAY_CHANGE = (
    "data.dataset", "data.root", "init",
    "loader", "train.eval_every", "train.checkpoint_every", "train.log_every",
)  # fmt: skip
"""Keys that a resumed run may change: where things lie, and what has no say in the weights."""


@dataclass
class TrainingState:
    """A run at one moment.

    Attributes:
        network: The network being trained.
        average: Its averaged weights, which are evaluated and kept.
        optimizer: With momentum.
        scaler: Of the loss, under fp16; does nothing otherwise.
        step: Optimiser steps done.
        best: Scores of the best evaluation so far, as `Scores.to_dict` gives them.
    """

    network: ESeg
    average: WeightAverage[ESeg]
    optimizer: SGD
    scaler: torch.amp.GradScaler
    step: int = 0
    best: dict[str, Any] | None = None

    @classmethod
    def start(cls, network: ESeg, config: RunConfig, dtype: torch.dtype | None) -> TrainingState:
        """The state before the first step; the network is on its device already."""
        device = next(network.parameters()).device
        return cls(
            network=network,
            average=WeightAverage(network, config.train.ema_decay),
            optimizer=build_optimizer(network, config.optim),
            scaler=torch.amp.GradScaler(device.type, enabled=dtype == torch.float16),
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Become the state that a `last.pt` holds."""
        training = checkpoint.training
        self.network.load_state_dict(training["network"])
        self.average.model.load_state_dict(checkpoint.weights)
        self.average.updates = training["average_updates"]
        self.optimizer.load_state_dict(training["optimizer"])
        self.scaler.load_state_dict(training["scaler"])
        self.step = checkpoint.step
        self.best = training["best"]
        torch.set_rng_state(training["torch_rng"])

    def to_checkpoint(
        self, config: RunConfig, classes: ClassTable, scores: dict[str, Any] | None = None
    ) -> Checkpoint:
        """This state as a file's content.

        Args:
            config: The run.
            classes: Its classes.
            scores: Scores of the averaged weights: makes a file for use, without what only
                training needs.
        """
        training: dict[str, Any] = {}
        if scores is None:
            training = {
                "network": self.network.state_dict(),
                "average_updates": self.average.updates,
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "best": self.best,
                "torch_rng": torch.get_rng_state(),
            }
        return Checkpoint(
            model=config.model,
            classes=classes,
            weights=self.average.model.state_dict(),
            step=self.step,
            run=to_plain(config),
            scores=scores or {},
            training=training,
        )


def find_resumable(
    output: Path, config: RunConfig, classes: ClassTable, resume: bool
) -> Checkpoint | None:
    """The checkpoint to go on from, or None for a new run.

    Args:
        output: The run's folder.
        config: The run.
        classes: The classes of its data set as it is now.
        resume: Whether to go on.

    Raises:
        CheckpointError: The folder holds a run and `resume` was not asked for; it holds none and
            `resume` was; or its run was another one.
    """
    path = output / LAST
    if not resume:
        if path.exists():
            raise CheckpointError(
                f"{output} holds a run already; go on with it by --resume, or choose another "
                "--output"
            )
        if (output / BEST).exists():
            raise CheckpointError(
                f"{output / BEST} is there already, and would be overwritten; choose another "
                "--output, or move it away"
            )
        return None
    if not path.exists():
        raise CheckpointError(f"{path}: nothing to resume; leave --resume out to start")
    checkpoint = load_checkpoint(path)
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
    before, now = _flat(checkpoint.run), _flat(to_plain(config))
    changed = [
        f"{key} (was {before.get(key)}, now {now.get(key)})"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not key.startswith(_MAY_CHANGE)
    ]
    if changed:
        raise CheckpointError(
            f"{path} belongs to another run; these values differ: {', '.join(changed)}. Restore "
            "them, or start anew with another --output"
        )
    return checkpoint


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
