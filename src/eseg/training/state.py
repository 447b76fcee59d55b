"""State of a training run, written to a checkpoint and restored from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch.optim import Optimizer

from eseg.checkpoint import Checkpoint
from eseg.config import RunConfig, to_plain
from eseg.errors import CheckpointError
from eseg.models import ESeg, freeze_encoder
from eseg.runtime.class_table import ClassTable
from eseg.training.ema import WeightAverage
from eseg.training.optim import build_optimizer


@dataclass
class RunningMean:
    """Mean of numbers that arrive one by one: sum and number of those since the last `take`."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        """Add a number."""
        self.total += value
        self.count += 1

    def take(self) -> float:
        """Return the mean since the last call, and reset."""
        mean = self.total / self.count
        self.total, self.count = 0.0, 0
        return mean


@dataclass
class TrainingState:
    """State of a run between two steps, the same in all its processes.

    It holds no random numbers: those of a step are drawn from (seed, step, process), those of a
    crop from (seed, epoch, index).

    Attributes:
        network: The network being trained.
        average: Its averaged weights, which are evaluated and kept.
        optimizer: Optimiser, with its momentum or other averages.
        scaler: Scaler of the loss under fp16; without effect otherwise.
        step: Optimiser steps done.
        best: Scores of the best evaluation so far, in the form of `Scores.to_dict`.
        loss: Mean loss of the steps since the last log line.
    """

    network: ESeg
    average: WeightAverage[ESeg]
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0
    best: dict[str, Any] | None = None
    loss: RunningMean = field(default_factory=RunningMean)

    @classmethod
    def start(cls, network: ESeg, config: RunConfig, dtype: torch.dtype | None) -> TrainingState:
        """Make the state before the first step and freeze what the config says, in place.

        Args:
            network: The network, on its device.
            config: The run.
            dtype: Type for autocast, or None for fp32.
        """
        freeze_encoder(network, config.optim.frozen_stages, norms=config.optim.frozen_norms)
        device = next(network.parameters()).device
        return cls(
            network=network,
            average=WeightAverage(network, config.train.ema_decay),
            optimizer=build_optimizer(network, config.optim),
            scaler=torch.amp.GradScaler(device.type, enabled=dtype == torch.float16),
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Load the state of a `last.pt`.

        Raises:
            CheckpointError: The checkpoint does not hold the state of such a run.
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
        """Make the content of a file.

        Args:
            config: The run.
            classes: Its classes.
            scores: Scores of the averaged weights, for a file that is used but not resumed: it
                has no optimiser state. None for one that is resumed.
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
