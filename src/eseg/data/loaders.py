"""Batches for training, in an order that can be resumed, and single images for evaluation."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from eseg.data.cores import usable_cores
from eseg.data.dataset import SegmentationDataset
from eseg.data.samples import EvalDataset, EvalImage, PseudoLabelled, TrainBatch, TrainDataset
from eseg.data.sampling import TrainSampler, split_batch
from eseg.data.transforms import AugmentConfig
from eseg.errors import DataError
from eseg.runtime.resizing import ResizeConfig

_MAX_AUTOMATIC_WORKERS = 16


@dataclass(frozen=True)
class LoaderConfig:
    """Worker processes that read samples while the network computes.

    Attributes:
        workers: Processes that read and augment; the batches do not depend on it. 0 reads in the
            training process, None is automatic (`automatic_workers`).
        prefetch: Batches that each worker holds ready.
        pin_memory: If True, batches are put into page-locked memory, from which a CUDA device
            copies fastest; without such a device it has no effect.
    """

    workers: int | None = None
    prefetch: int = 2
    pin_memory: bool = True

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"workers: 0 or more, or null for automatic, not {self.workers}")
        if self.prefetch < 1:
            raise ValueError(f"prefetch: at least 1 batch, not {self.prefetch}")


Item = TypeVar("Item")


class Loader(Generic[Item]):
    """A PyTorch `DataLoader` that raises faults of the data as one clear `DataError`.

    It can be iterated over repeatedly; each time starts worker processes and ends them.
    """

    def __init__(self, torch_loader: DataLoader[Any]) -> None:
        self.torch_loader = torch_loader

    def __len__(self) -> int:
        """Return the number of items; raise `TypeError` for training batches, which do not end."""
        return len(self.torch_loader)

    def __iter__(self) -> Iterator[Item]:
        """Yield items in order; raise the first `DataError` in place of its item."""
        for item in self.torch_loader:
            if isinstance(item, DataError):
                raise item
            yield item


def make_train_loader(
    dataset: SegmentationDataset,
    augmentation: AugmentConfig,
    *,
    batch_size: int,
    seed: int,
    pseudo: PseudoLabelled | None = None,
    resize: ResizeConfig | None = None,
    rank: int = 0,
    world: int = 1,
    start_step: int = 0,
    config: LoaderConfig | None = None,
) -> Loader[TrainBatch]:
    """Make endless batches of augmented crops, in the order of `TrainSampler`.

    Args:
        dataset: The training split; it must pickle, as it is sent to the workers.
        augmentation: Crop size and ranges.
        batch_size: Samples per batch of this process.
        seed: In [0, 2**32); the order and every crop depend on it.
        pseudo: A second source, of the same classes, that gives a part of every batch.
        resize: The size that images of every source are resized to before augmentation.
        rank: Number of this process.
        world: Number of processes.
        start_step: The first step to give a batch for: in a resumed run the steps done before.
        config: Worker processes; the batches do not depend on it.

    Raises:
        DataError: A source is empty, or its part of a batch is not a whole number.
    """
    sources, batch_sizes = (dataset,), (batch_size,)
    if pseudo is not None:
        sources, batch_sizes = (dataset, pseudo.dataset), split_batch(batch_size, pseudo.fraction)
    lengths = tuple(len(source) for source in sources)
    return Loader(
        DataLoader(
            TrainDataset(sources, augmentation, seed, resize),
            batch_sampler=TrainSampler(lengths, batch_sizes, seed, rank, world, start_step),
            collate_fn=_collate,
            **_torch_options(config),
        )
    )


def make_eval_loader(
    dataset: SegmentationDataset,
    *,
    rank: int = 0,
    world: int = 1,
    config: LoaderConfig | None = None,
) -> Loader[EvalImage]:
    """Make a loader of the whole images of this process's share, one at a time and in order.

    The shares `range(rank, len(dataset), world)` hold every image once: no padding, no repeats.

    Args:
        dataset: The split to evaluate.
        rank: Number of this process.
        world: Number of processes.
        config: Worker processes.
    """
    return Loader(
        DataLoader(
            EvalDataset(dataset),
            batch_size=None,
            sampler=range(rank, len(dataset), world),
            **_torch_options(config),
        )
    )


def automatic_workers() -> int:
    """Count the cores that this process may use, less the one that trains; between 1 and 16.

    Processes that torchrun starts on one machine (`LOCAL_WORLD_SIZE`) share its cores.
    """
    share = usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(share - 1, _MAX_AUTOMATIC_WORKERS))


def _torch_options(config: LoaderConfig | None) -> dict[str, Any]:
    config = config or LoaderConfig()
    workers = automatic_workers() if config.workers is None else config.workers
    options: dict[str, Any] = {
        "num_workers": workers,
        "pin_memory": config.pin_memory and torch.cuda.is_available(),
        # Without one, every new iterator draws from the global generator, which changes the
        # dropout of the network that is trained.
        "generator": torch.Generator(),
    }
    if workers > 0:
        options |= {"prefetch_factor": config.prefetch, "multiprocessing_context": _context()}
        options["worker_init_fn"] = _end_with_trainer
    return options


def _context() -> BaseContext:
    """Choose how workers start: forked from a server process that has imported PyTorch once.

    Plain `fork` copies a process that already runs threads, whose locks may be held: it can hang.
    `spawn` is as safe, but each worker imports PyTorch again, which takes two seconds of a core.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver  # cannot be imported on every system

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with _ignored_interrupts():
        forkserver.ensure_running()
    return context


@contextmanager
def _ignored_interrupts() -> Iterator[None]:
    """Let processes that start in this block ignore Ctrl-C; their parent ends them."""
    if threading.current_thread() is not threading.main_thread():  # only that one may set handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end_with_trainer(_worker: int) -> None:
    """End this worker when the process that uses its samples has been killed.

    PyTorch itself watches the server process, which lives as long as its workers do.
    """
    trainer = multiprocessing.parent_process()
    if trainer is not None:
        threading.Thread(target=lambda: (trainer.join(), os._exit(1)), daemon=True).start()


def _collate(samples: list[tuple[Tensor, Tensor] | DataError]) -> TrainBatch | DataError:
    """Stack samples to a batch, or return the first error among them."""
    for sample in samples:
        if isinstance(sample, DataError):
            return sample
    return TrainBatch(*default_collate(samples))
