"""The order of training samples: a function of seed and step alone, so that runs can resume."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from eseg.data.dataset import DataError

# They keep the streams apart: NumPy pads short seeds with zeros, so (seed, epoch) alone would give
# the order of an epoch the numbers of its sample 0.
ORDER_STREAM, AUGMENTATION_STREAM = 1, 2
"""Leading words of the seeds that orders and augmentation are drawn from."""


@dataclass(frozen=True)
class TrainSampler(Sampler[list[tuple[int, int]]]):
    """The endless order in which training samples are used, as a function of the step alone.

    Epoch e is a permutation of the data set drawn from (seed, e); epochs follow one another
    without a gap, so a batch may hold the end of one and the beginning of the next. With B samples
    per step over all processes, the sample at place `step * B + rank * batch_size + k` of that
    sequence is number k in this process's batch. Several processes thus see, together, the batches
    that one process with a batch of size B sees, and a run resumed at `start_step` goes on exactly.
    The order is the same for the same version of NumPy.

    Attributes:
        length: Samples in the data set.
        batch_size: Samples per step of this process.
        seed: In [0, 2**32).
        rank: Which process this is, in [0, world).
        world: Number of processes.
        start_step: The first step to give, counted from 0.
    """

    length: int
    batch_size: int
    seed: int
    rank: int = 0
    world: int = 1
    start_step: int = 0

    def __post_init__(self) -> None:
        """Refuse what gives no batches."""
        if not 0 <= self.seed < 2**32:  # More than one 32-bit word would shift those after it.
            raise ValueError(f"seed: lies in [0, 2**32), not {self.seed}")
        if self.length < 1:
            raise DataError("the training split is empty: there is nothing to sample from")
        if self.batch_size < 1 or not 0 <= self.rank < self.world or self.start_step < 0:
            raise ValueError(
                f"need batch_size >= 1, 0 <= rank < world and start_step >= 0, not {self}"
            )

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Batches of (epoch, index) pairs, the keys of `TrainDataset`."""
        step = self.start_step
        while True:
            first = (step * self.world + self.rank) * self.batch_size
            yield [self._key(place) for place in range(first, first + self.batch_size)]
            step += 1

    def _key(self, place: int) -> tuple[int, int]:
        epoch, position = divmod(place, self.length)
        return epoch, int(_epoch_order(self.length, self.seed, epoch)[position])


@functools.lru_cache(maxsize=4)
def _epoch_order(length: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((ORDER_STREAM, seed, epoch)).permutation(length)
