"""One optimiser step, from batches to changed weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from eseg.config import RunConfig
from eseg.data.samples import TrainBatch
from eseg.data.transforms import to_float
from eseg.errors import TrainingError
from eseg.losses import build_loss
from eseg.training.distributed import (
    Processes,
    average_statistics,
    local_statistics,
    mean_over_processes,
)
from eseg.training.optim import learning_rate, set_learning_rate
from eseg.training.state import TrainingState


class Stepper:
    """Takes optimiser steps.

    Args:
        state: The state to change.
        model: The state's network, or its wrapper for several processes.
        config: The run.
        processes: The processes of the run.
        dtype: Type for autocast, or None for fp32.
    """

    def __init__(
        self,
        state: TrainingState,
        model: nn.Module,
        config: RunConfig,
        processes: Processes,
        dtype: torch.dtype | None,
    ) -> None:
        self.state = state
        self.model = model
        self.forward = torch.compile(model) if config.train.compile else model
        self.config = config
        self.processes = processes
        self.device = processes.device
        self.statistics = local_statistics(state.network)
        self.dtype = dtype
        self.loss = build_loss(config.loss, processes.device)

    def step(self, batches: Iterator[TrainBatch]) -> tuple[float, float]:
        """Take one step and return its mean loss in nats and its learning rate.

        The loss is the mean over all processes, the rate that of the parts beside the encoder.

        Raises:
            TrainingError: The loss, or the norm of a gradient to be clipped, is NaN or infinite;
                the weights are unchanged.
        """
        state, config = self.state, self.config
        lr = learning_rate(state.step, config.train.steps, config.optim)
        set_learning_rate(state.optimizer, lr)
        parts = config.train.accumulate
        total = torch.zeros((), device=self.device)
        # Random numbers of the network (drop-out) are a function of seed, step and process. Torch's
        # generator on the CPU takes no more than 32 bits of seed.
        seed = np.random.SeedSequence((config.seed, state.step, self.processes.rank))
        torch.manual_seed(int(seed.generate_state(1)[0]))
        for part in range(parts):
            with self._gradient_sync(last=part == parts - 1):
                loss = self._loss(next(batches)) / parts
                state.scaler.scale(loss).backward()
            total += loss.detach()
        # All processes learn of a loss that is not finite together, and none waits for the others.
        # This is the only place in a step that waits for a GPU.
        value = mean_over_processes(total, self.processes).item()
        if not math.isfinite(value):
            self._stop(f"the loss became {value}", lr)
        if config.optim.clip_norm is not None:
            state.scaler.unscale_(state.optimizer)
            norm = nn.utils.clip_grad_norm_(state.network.parameters(), config.optim.clip_norm)
            if not state.scaler.is_enabled() and not math.isfinite(norm):
                self._stop(f"the gradient's norm became {norm.item()}", lr)
        # Under fp16 the scaler leaves out a step whose gradients overflowed and lowers its factor:
        # this is its search for the factor, not a failure.
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        average_statistics(self.statistics, self.processes)
        state.average.update(state.network)
        state.loss.add(value)
        state.step += 1
        return value, lr

    def _stop(self, reason: str, lr: float) -> NoReturn:
        self.state.optimizer.zero_grad(set_to_none=True)
        raise TrainingError(
            f"{reason} at step {self.state.step + 1} (learning rate {lr:.3g}); lower optim.lr, "
            "lengthen optim.warmup_steps, set optim.clip_norm, or use train.precision=fp32. A "
            "resumed run keeps its values and comes to the same end: choose another `output`"
        )

    def _loss(self, batch: TrainBatch) -> Tensor:
        image = to_float(batch.image.to(self.device, non_blocking=True))
        mask = batch.mask.to(self.device, non_blocking=True)
        if self.config.train.channels_last:
            image = image.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None):
            logits = self.forward(image, upsample=False)  # (batch, classes, rows, columns)
        return self.loss(logits, mask)

    def _gradient_sync(self, last: bool) -> AbstractContextManager[None]:
        """Exchange gradients between processes only with the last part of a batch."""
        if isinstance(self.model, DistributedDataParallel) and not last:
            return self.model.no_sync()
        return nullcontext()


def images_per_part(config: RunConfig, world: int) -> int:
    """Return the number of images that one process takes at a time.

    Raises:
        TrainingError: The batch cannot be shared evenly by all processes and parts.
    """
    batch, parts = config.train.batch_size, config.train.accumulate
    if batch % (parts * world):
        raise TrainingError(
            f"train.batch_size {batch} cannot be shared evenly by {world} processes in {parts} "
            "parts (train.accumulate); choose a multiple"
        )
    return batch // (parts * world)
