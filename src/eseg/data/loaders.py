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

from eseg.data.dataset import SegmentationDataset
from eseg.data.samples import (
    EvalDataset,
    EvalImage,
    MixedDataset,
    PseudoLabelled,
    TrainBatch,
    TrainDataset,
)
from eseg.data.sampling import MixedSampler, TrainSampler, split_batch
from eseg.data.transforms import AugmentConfig, ResizeConfig
from eseg.errors import DataError

_MAX_AUTOMATIC_WORKERS = 16


@dataclass(frozen=True)
class LoaderConfig:
    """How samples are read while the network computes.

    Attributes:
        workers: Processes that read and augment; 0 reads in the training process, None takes one
            per core of this process but one, shared among the processes of this machine, at
            most 16. The batches do not depend on it.
        prefetch: Batches that each worker holds ready.
        pin_memory: Whether batches are put where a CUDA device fetches them fastest; without
            such a device nothing happens.
    """

    workers: int | None = None
    prefetch: int = 2
    pin_memory: bool = True

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be meant."""
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"workers: 0 or more, or null for automatic, not {self.workers}")
        if self.prefetch < 1:
            raise ValueError(f"prefetch: at least 1 batch, not {self.prefetch}")


Item = TypeVar("Item")


class Loader(Generic[Item]):
    """A PyTorch `DataLoader` that raises what is wrong with the data as one clear `DataError`.

    Iterate over it as often as wanted; each time starts worker processes and ends them with it.
    """

    def __init__(self, torch_loader: DataLoader[Any]) -> None:
        self.torch_loader = torch_loader

    def __len__(self) -> int:
        """Number of items; `TypeError` for training batches, which do not end."""
        return len(self.torch_loader)

    def __iter__(self) -> Iterator[Item]:
        """Items in order; raises the first `DataError` in the place of the item it spoiled."""
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
    """Endless batches of augmented crops, in the order of `TrainSampler`.

    Args:
        dataset: The training split; with workers it travels to them, so it must pickle.
        augmentation: Crop size and ranges.
        batch_size: Samples per batch of this process.
        seed: In [0, 2**32); decides the order and every crop.
        pseudo: A second source, of the same classes, that gives a part of every batch.
        resize: What the images of every source are brought to before they are augmented.
        rank: Which process this is.
        world: Number of processes.
        start_step: The first step whose batch is wanted: in a resumed run the steps done before.
        config: Workers and their like; the batches do not depend on it.

    Raises:
        DataError: A source is empty, or its part of a batch is no whole number.
    """
    datasets, parts = (dataset,), (batch_size,)
    if pseudo is not None:
        datasets, parts = (dataset, pseudo.dataset), split_batch(batch_size, pseudo.fraction)
    samples = tuple(
        TrainDataset(of_source, augmentation, seed, source, resize)
        for source, of_source in enumerate(datasets)
    )
    orders = tuple(
        TrainSampler(len(of_source), part, seed, rank, world, start_step, source)
        for source, (of_source, part) in enumerate(zip(datasets, parts, strict=True))
    )
    return Loader(
        DataLoader(
            MixedDataset(samples),
            batch_sampler=MixedSampler(orders),
            collate_fn=_collate,
            **_torch_options(config or LoaderConfig()),
        )
    )


def make_eval_loader(
    dataset: SegmentationDataset,
    *,
    rank: int = 0,
    world: int = 1,
    config: LoaderConfig | None = None,
) -> Loader[EvalImage]:
    """The whole images of this process's share, one at a time and in order.

    The shares `range(rank, len(dataset), world)` hold every image once: no padding, no repeats.

    Args:
        dataset: The split to evaluate.
        rank: Which process this is.
        world: Number of processes.
        config: Workers and their like.
    """
    return Loader(
        DataLoader(
            EvalDataset(dataset),
            batch_size=None,
            sampler=range(rank, len(dataset), world),
            **_torch_options(config or LoaderConfig()),
        )
    )


def automatic_workers() -> int:
    """Cores that this process may use, less the one that trains; between 1 and 16.

    Processes that torchrun starts on one machine (`LOCAL_WORLD_SIZE`) share its cores.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Not on macOS.
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    share = cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(share - 1, _MAX_AUTOMATIC_WORKERS))


def _torch_options(config: LoaderConfig) -> dict[str, Any]:
    workers = automatic_workers() if config.workers is None else config.workers
    options: dict[str, Any] = {
        "num_workers": workers,
        "pin_memory": config.pin_memory and torch.cuda.is_available(),
        # Left alone, every new iterator takes a number from the global generator and so changes
        # the dropout of whatever is trained.
        "generator": torch.Generator(),
    }
    if workers > 0:
        options |= {"prefetch_factor": config.prefetch, "multiprocessing_context": _context()}
        options["worker_init_fn"] = _end_with_trainer
    return options


def _context() -> BaseContext:
    """How workers start: forked from a clean server process that has imported PyTorch once.

    Plain `fork` copies a process that already runs threads, whose locks may be held: it can hang.
    `spawn` is as safe, but each worker imports PyTorch anew, two seconds of a core apiece.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver  # not where it could not run

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with _ignored_interrupts():
        forkserver.ensure_running()
    return context


@contextmanager
def _ignored_interrupts() -> Iterator[None]:
    """Let processes that start in here ignore Ctrl-C: who started them ends them."""
    if threading.current_thread() is not threading.main_thread():  # only that one may set it
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end_with_trainer(_worker: int) -> None:
    """In a worker: end when the process that uses its samples has been killed.

    PyTorch's own watch is kept on the server process, which lives as long as its workers do.
    """
    trainer = multiprocessing.parent_process()
    if trainer is not None:
        threading.Thread(target=lambda: (trainer.join(), os._exit(1)), daemon=True).start()


def _collate(samples: list[tuple[Tensor, Tensor] | DataError]) -> TrainBatch | DataError:
    """Stack samples; the first error stands for the whole batch."""
    for sample in samples:
        if isinstance(sample, DataError):
            return sample
    return TrainBatch(*default_collate(samples))
