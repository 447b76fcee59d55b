"""The order of training samples: a function of seed and step alone, so that runs can resume."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from eseg.errors import DataError

# They keep the streams apart: NumPy pads short seeds with zeros, so (seed, epoch) alone would give
# the order of an epoch the numbers of its sample 0.
ORDER_STREAMS, AUGMENTATION_STREAMS = (1, 3), (2, 4)
"""First words of the seeds of orders and of augmentation, one per source of a batch: the labelled
set, then the pseudo-labels."""

Key = tuple[int, int]
"""Epoch and index of a sample."""


@dataclass(frozen=True)
class TrainSampler(Sampler[list[Key]]):
    """Endless batches of sample keys, as a function of the step alone.

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
        rank: Number of this process, in [0, world).
        world: Number of processes.
        start_step: The first step to give, counted from 0.
        source: Number of the source; each has its own random numbers.
    """

    length: int
    batch_size: int
    seed: int
    rank: int = 0
    world: int = 1
    start_step: int = 0
    source: int = 0

    def __post_init__(self) -> None:
        """Refuse values that give no batches."""
        if not 0 <= self.seed < 2**32:  # More than one 32-bit word would shift those after it.
            raise ValueError(f"seed: lies in [0, 2**32), not {self.seed}")
        if self.length < 1:
            raise DataError("the training split is empty: there is nothing to sample from")
        if self.batch_size < 1 or not 0 <= self.rank < self.world or self.start_step < 0:
            raise ValueError(
                f"need batch_size >= 1, 0 <= rank < world and start_step >= 0, not {self}"
            )

    def __iter__(self) -> Iterator[list[Key]]:
        """Yield batches of (epoch, index) pairs, the keys of `TrainDataset`."""
        step = self.start_step
        while True:
            first = (step * self.world + self.rank) * self.batch_size
            yield [self._key(place) for place in range(first, first + self.batch_size)]
            step += 1

    def _key(self, place: int) -> Key:
        epoch, position = divmod(place, self.length)
        return epoch, int(_epoch_order(self.length, self.seed, epoch, self.source)[position])


@dataclass(frozen=True)
class MixedSampler(Sampler[list[tuple[int, Key]]]):
    """Batches from one or two sources, in the same proportion every time (section 4.4).

    Each source has its own epochs in its own order, so a small labelled set is seen more often
    than a large one with pseudo-labels. As with `TrainSampler`, several processes see the batches
    of one, and a resumed run goes on exactly.

    Attributes:
        sources: The order of each source; the batch sizes give the proportion.
    """

    sources: tuple[TrainSampler, ...]

    def __iter__(self) -> Iterator[list[tuple[int, Key]]]:
        """Yield batches of (source, (epoch, index)), the keys of `MixedDataset`, source 0 first."""
        for shares in zip(*self.sources, strict=True):
            yield [(source, key) for source, keys in enumerate(shares) for key in keys]


def split_batch(batch_size: int, fraction: float) -> tuple[int, int]:
    """Divide a batch into samples of the labelled set and samples with pseudo-labels.

    Args:
        batch_size: Samples that one process takes at a time.
        fraction: Share of the pseudo-labels, in (0, 1).

    Returns:
        The number of samples of either source.

    Raises:
        DataError: The share is not a whole number of samples, or is all or nothing of the batch.
    """
    pseudo = round(batch_size * fraction)
    is_whole = abs(pseudo - batch_size * fraction) < 0.01  # a third may be written 0.333
    if not is_whole or not 0 < pseudo < batch_size:
        raise DataError(
            f"data.pseudo.fraction: {fraction:g} of {batch_size} is not a whole number of images "
            f"with some left for the labelled set; a process takes {batch_size} at a time: "
            "train.batch_size divided by the number of processes and by train.accumulate. Change "
            "one of them, or the fraction"
        )
    return batch_size - pseudo, pseudo


@functools.lru_cache(maxsize=4)
def _epoch_order(length: int, seed: int, epoch: int, source: int) -> np.ndarray:
    return np.random.default_rng((ORDER_STREAMS[source], seed, epoch)).permutation(length)
