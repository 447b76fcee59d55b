"""One optimiser step: batches in, changed weights out."""

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
from eseg.losses import upsampled_ohem_cross_entropy
from eseg.training.distributed import (
    Processes,
    average_statistics,
    local_statistics,
    mean_over_processes,
)
from eseg.training.optim import learning_rate
from eseg.training.state import TrainingState


class Stepper:
    """Takes optimiser steps.

    Args:
        state: What changes.
        model: The state's network as it is called: wrapped for several processes, perhaps.
        config: The run.
        processes: Where this process stands.
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
        self.weight = _class_weights(config, processes.device)

    def step(self, batches: Iterator[TrainBatch]) -> tuple[float, float]:
        """Take one step and return its mean loss in nats and its learning rate.

        The loss is the mean over all processes.

        Raises:
            TrainingError: The loss, or the norm of the gradient that is to be clipped, is NaN or
                infinite; the weights are as they were.
        """
        state, config = self.state, self.config
        lr = learning_rate(state.step, config.train.steps, config.optim)
        for group in state.optimizer.param_groups:
            group["lr"] = lr
        parts = config.train.accumulate
        total = torch.zeros((), device=self.device)
        # Whatever the network draws (drop-out, say) is a function of seed, step and process.
        torch.manual_seed(_step_seed(config.seed, state.step, self.processes.rank))
        for part in range(parts):
            with self._gradient_sync(last=part == parts - 1):
                loss = self._loss(next(batches)) / parts
                state.scaler.scale(loss).backward()
            total += loss.detach()
        # All processes learn of a loss that is no number together, and none waits for the others.
        # It is the only place of a step where a GPU is waited for.
        value = mean_over_processes(total, self.processes).item()
        if not math.isfinite(value):
            self._stop(f"the loss became {value}", lr)
        if config.optim.clip_norm is not None:
            state.scaler.unscale_(state.optimizer)
            norm = nn.utils.clip_grad_norm_(state.network.parameters(), config.optim.clip_norm)
            if not state.scaler.is_enabled() and not math.isfinite(norm):
                self._stop(f"the gradient's norm became {norm.item()}", lr)
        # Under fp16 the scaler leaves out a step whose gradients overflowed and lowers its factor:
        # that is how it finds the factor, not a failure.
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        average_statistics(self.statistics, self.processes)
        state.average.update(state.network)
        state.loss.add(value)
        state.step += 1
        return value, lr

    def _stop(self, what: str, lr: float) -> NoReturn:
        self.state.optimizer.zero_grad(set_to_none=True)
        raise TrainingError(
            f"{what} at step {self.state.step + 1} (learning rate {lr:.3g}); lower optim.lr, "
            "lengthen optim.warmup_steps, set optim.clip_norm, or use train.precision=fp32. A "
            "resumed run keeps its values and comes to the same end: choose another `output`"
        )

    def _loss(self, batch: TrainBatch) -> Tensor:
        image = to_float(batch.image.to(self.device, non_blocking=True))
        mask = batch.mask.to(self.device, non_blocking=True)
        if self.config.train.channels_last:
            image = image.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None):
            # Left small; the loss upsamples them strip by strip.
            logits = self.forward(image, upsample=False)
        return upsampled_ohem_cross_entropy(
            logits,
            mask,
            threshold=self.config.loss.threshold,
            min_kept=self.config.loss.min_kept,
            weight=self.weight,
        )

    def _gradient_sync(self, last: bool) -> AbstractContextManager[None]:
        """Exchange gradients between processes only with the last part of a batch."""
        if isinstance(self.model, DistributedDataParallel) and not last:
            return self.model.no_sync()
        return nullcontext()


def images_per_part(config: RunConfig, world: int) -> int:
    """Images that one process takes at a time, so that all parts make up the batch.

    Raises:
        TrainingError: They cannot be shared out evenly.
    """
    batch, parts = config.train.batch_size, config.train.accumulate
    if batch % (parts * world):
        raise TrainingError(
            f"train.batch_size {batch} cannot be shared evenly by {world} processes in {parts} "
            "parts (train.accumulate); choose a multiple"
        )
    return batch // (parts * world)


def _step_seed(seed: int, step: int, rank: int) -> int:
    """A 32-bit word, which is all that torch's generator on the CPU takes."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0])


def _class_weights(config: RunConfig, device: torch.device) -> Tensor | None:
    weights = config.loss.class_weights
    return None if weights is None else torch.tensor(weights, device=device)
