"""The order of training samples: a function of seed and step alone, so that runs can resume."""

from __future__ import annotations

import functools
import itertools
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

Key = tuple[int, int, int]
"""Source, epoch and index of a sample."""


@dataclass(frozen=True)
class TrainSampler(Sampler[list[Key]]):
    """Endless batches of sample keys, as a function of the step alone.

    Every batch holds the same number of samples of each source: first those of the labelled set,
    then those with pseudo-labels, if there are any (section 4.4). Each source has its own epochs,
    so a small one is seen more often than a large one.

    Epoch e of a source is a permutation drawn from (seed, e); epochs follow one another without a
    gap, so a batch may hold the end of one and the beginning of the next. With B samples of the
    source per step over all processes, the sample at place `step * B + rank * batch_size + k` of
    that sequence is number k in this process's batch. Several processes thus see, together, the
    batches that one process with batches of size B sees, and a run resumed at `start_step` goes on
    exactly. The order is the same for the same version of NumPy.

    Attributes:
        lengths: Samples in each source.
        batch_sizes: Samples of each source per step of this process.
        seed: In [0, 2**32).
        rank: Number of this process, in [0, world).
        world: Number of processes.
        start_step: The first step to give, counted from 0.
    """

    lengths: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    seed: int
    rank: int = 0
    world: int = 1
    start_step: int = 0

    def __post_init__(self) -> None:
        """Refuse values that give no batches."""
        if not 0 <= self.seed < 2**32:  # More than one 32-bit word would shift those after it.
            raise ValueError(f"seed: lies in [0, 2**32), not {self.seed}")
        if min(self.lengths) < 1:
            raise DataError("the training split is empty: there is nothing to sample from")
        if min(self.batch_sizes) < 1 or not 0 <= self.rank < self.world or self.start_step < 0:
            raise ValueError(
                f"need batch_sizes >= 1, 0 <= rank < world and start_step >= 0, not {self}"
            )

    def __iter__(self) -> Iterator[list[Key]]:
        """Yield batches of (source, epoch, index), the keys of `TrainDataset`."""
        for step in itertools.count(self.start_step):
            batch = []
            for source, size in enumerate(self.batch_sizes):
                first = (step * self.world + self.rank) * size
                batch += [self._key(source, place) for place in range(first, first + size)]
            yield batch

    def _key(self, source: int, place: int) -> Key:
        length = self.lengths[source]
        epoch, position = divmod(place, length)
        return source, epoch, int(_epoch_order(length, self.seed, epoch, source)[position])


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
