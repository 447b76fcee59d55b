"""All that changes while a network trains, and its way into a checkpoint and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch.optim import SGD

from eseg.checkpoint import Checkpoint
from eseg.config import RunConfig, to_plain
from eseg.errors import CheckpointError
from eseg.models import ESeg
from eseg.runtime.class_table import ClassTable
from eseg.training.ema import WeightAverage
from eseg.training.optim import build_optimizer


@dataclass
class RunningMean:
    """The mean of some numbers that come one by one.

    Attributes:
        total: Their sum.
        count: How many there are.
    """

    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        """Count a number."""
        self.total += value
        self.count += 1

    def take(self) -> float:
        """The mean since the last call; starts anew."""
        mean = self.total / self.count
        self.total, self.count = 0.0, 0
        return mean


@dataclass
class TrainingState:
    """A run at one moment, the same in all its processes.

    Random numbers are not part of it: those of a step are drawn from (seed, step, process), those
    of a crop from (seed, epoch, index).

    Attributes:
        network: The network being trained.
        average: Its averaged weights, which are evaluated and kept.
        optimizer: With momentum.
        scaler: Of the loss, under fp16; does nothing otherwise.
        step: Optimiser steps done.
        best: Scores of the best evaluation so far, as `Scores.to_dict` gives them.
        loss: Mean loss of the steps since the last log line.
    """

    network: ESeg
    average: WeightAverage[ESeg]
    optimizer: SGD
    scaler: torch.amp.GradScaler
    step: int = 0
    best: dict[str, Any] | None = None
    loss: RunningMean = field(default_factory=RunningMean)

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
        """Become the state that a `last.pt` holds.

        Raises:
            CheckpointError: It holds no such state.
        """
        training = checkpoint.training
        try:
            self.network.load_state_dict(training["network"])
            self.average.model.load_state_dict(checkpoint.weights)
            self.average.updates = training["average_updates"]
            self.optimizer.load_state_dict(training["optimizer"])
            self.scaler.load_state_dict(training["scaler"])
            self.best = training["best"]
            self.loss = RunningMean(**training["loss"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"the checkpoint to go on from is not of this version or this network ({error}); "
                "start anew with another `output`"
            ) from error
        self.step = checkpoint.step

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
                "loss": asdict(self.loss),
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
