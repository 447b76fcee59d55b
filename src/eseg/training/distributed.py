"""Processes of a run: torch.distributed under torchrun, or this process alone."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import torch
import torch.distributed as dist
from jaxtyping import Float
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from eseg.errors import DeviceError, LostProcessError, TrainingError

if TYPE_CHECKING or dist.is_available():  # some builds for small devices have no such part
    from torch.distributed.distributed_c10d import PrefixStore, Store
    from torch.distributed.rendezvous import rendezvous

EXCHANGE_TIMEOUT = timedelta(minutes=5)
"""Longest wait of a process for the others in one exchange. Dead ones are noticed at once; this is
for those that hang or whose machine is gone. Writing a checkpoint, which the first process does
alone, has to be quicker."""

_VARIABLES = ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Environment variables that torchrun sets for its processes, besides `RANK`."""

_IS_RENAMED = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
_OWN_BUFFERS: dict[str, Any] = {
    "forward_sync_buffers" if _IS_RENAMED else "broadcast_buffers": False
}
"""Buffers are the same in all processes after each step; sending those of the first process in
between would lose the statistics of the others. PyTorch 2.14 warns of the argument's old name."""

_POLL_SECONDS = 0.05
"""Time between two looks of the first process at who has arrived."""

_RESUME = "The same command (eseg train: with `resume`) goes on from the last checkpoint"


@dataclass(frozen=True)
class Processes:
    """Rank in [0, world) and device of this process, and the number of processes of the run."""

    rank: int
    world: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """True in the one process that writes files and reports."""
        return self.rank == 0


@contextmanager
def join_processes(device: torch.device) -> Iterator[Processes]:
    """Join the process group that torchrun set up, if it did, and leave it at the end.

    A nested call returns the group that is joined already.

    Args:
        device: Device to compute on; of several GPUs each process uses its own.

    Raises:
        DeviceError: The processes cannot each have such a device.
        LostProcessError: A process of the run died or cannot be reached.
        TrainingError: A worker process of the data loader died.
    """
    with _clear_failures():
        if "RANK" not in os.environ:
            yield Processes(0, 1, device)
        elif dist.is_initialized():
            yield Processes(dist.get_rank(), dist.get_world_size(), device)
        else:
            device = _own_device(device)
            _join_group("nccl" if device.type == "cuda" else "gloo")
            try:
                yield Processes(dist.get_rank(), dist.get_world_size(), device)
            finally:
                dist.destroy_process_group()


@contextmanager
def _clear_failures() -> Iterator[None]:
    """Convert torch's errors about lost processes, which would be a traceback per process."""
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).splitlines() or [""])[0]
        # Only the message tells these from other RuntimeErrors; NCCL has a class of its own.
        is_lost = dist.is_available() and isinstance(error, dist.DistError)
        if is_lost or (type(error) is RuntimeError and "/gloo/" in reason):
            reason = reason.rpartition("] ")[2].partition(". ")[0]
            raise LostProcessError(
                f"another process of this run has ended or cannot be reached any more ({reason}). "
                f"Its own message or torchrun's summary tells which one, and why. {_RESUME}"
            ) from error
        if "DataLoader worker" in reason:
            raise TrainingError(
                f"a process that reads data has died ({reason.partition('. ')[0]}), often for lack "
                f"of memory; lower loader.workers or loader.prefetch. {_RESUME}"
            ) from error
        raise


def _own_device(device: torch.device) -> torch.device:
    """Return the device of this process, with the number of its GPU."""
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"several processes cannot share {device}; choose `device` cpu")
    needed = (*_VARIABLES, "LOCAL_RANK") if device.type == "cuda" else _VARIABLES
    missing = [name for name in needed if name not in os.environ]
    if missing:
        raise DeviceError(
            f"RANK is set, but not {', '.join(missing)}: start several processes by torchrun, or "
            "set all of them; for one process unset RANK"
        )
    if device.type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise DeviceError(
                f"process {local + 1} of this machine has no GPU of its own: there are "
                f"{torch.cuda.device_count()}; start no more processes than that"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    return device


def _join_group(backend: str) -> None:
    # A function of its own, so that nothing holds the store, which may contain the server, when
    # the group has been left.
    store, rank, world = next(iter(rendezvous("env://", timeout=EXCHANGE_TIMEOUT)))
    dist.init_process_group(
        backend,
        store=fresh_store(store, rank, world),
        rank=rank,
        world_size=world,
        timeout=EXCHANGE_TIMEOUT,
    )


def fresh_store(
    store: Store, rank: int, world: int, timeout: timedelta = EXCHANGE_TIMEOUT
) -> Store:
    """Return a part of a store that no earlier start of these processes has written to.

    When torchrun restarts the processes it may give them the store they had before, with the
    addresses of the dead ones: a process that reads those waits in vain. So the first process
    invents a name for this start and tells it to each process that has arrived. It waits for them
    until `timeout`; they wait as long as the store lets them.

    Raises:
        DistStoreError: Some process did not arrive.
    """
    if rank > 0:
        me = uuid4().hex
        store.set(f"eseg/arrived/{rank}", me)
        name = store.get(f"eseg/start_of/{me}").decode()
        store.add(f"{name}/told", 1)
        return PrefixStore(name, store)
    name = f"eseg/start/{uuid4().hex}"
    deadline = time.monotonic() + timeout.total_seconds()
    while store.add(f"{name}/told", 0) < world - 1:
        for other in range(1, world):
            # Until a process has arrived this is the key of its predecessor: hence the loop.
            arrived = store.get(f"eseg/arrived/{other}").decode()
            store.set(f"eseg/start_of/{arrived}", name)
        if time.monotonic() > deadline:
            raise dist.DistStoreError(
                f"of {world} processes {store.add(f'{name}/told', 0) + 1} came within "
                f"{timeout.total_seconds():.0f} seconds"
            )
        time.sleep(_POLL_SECONDS)
    return PrefixStore(name, store)


def share_network(model: nn.Module, processes: Processes) -> nn.Module:
    """Wrap a network for training by several processes; for one, return it unchanged.

    On GPUs the batch norms then compute their statistics over all processes, by timm's conversion,
    which handles its own batch norms with activation. On CPUs each process normalises by its own
    images, and `average_statistics` averages the running statistics.
    """
    if processes.world == 1:
        return model
    devices = None
    if processes.device.type == "cuda":
        model, devices = convert_sync_batchnorm(model), [processes.device]
    return DistributedDataParallel(model, device_ids=devices, **_OWN_BUFFERS)


def mean_over_processes(
    values: Float[Tensor, "*shape"], processes: Processes
) -> Float[Tensor, "*shape"]:
    """Average a tensor over the processes; each must call this, and all get the same numbers."""
    if processes.world == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / processes.world


def is_same_everywhere(number: int, processes: Processes) -> bool:
    """Return whether every process passes the same number; each must call this."""
    if processes.world == 1:
        return True
    extremes = torch.tensor([number, -number], device=processes.device)
    dist.all_reduce(extremes, op=dist.ReduceOp.MAX)
    return extremes.sum().item() == 0


def local_statistics(model: nn.Module) -> list[Tensor]:
    """Collect the running means and variances that each process computes of its own images only.

    They are the live buffers; `average_statistics` changes them in place.
    """
    norms = [
        part
        for part in model.modules()
        if isinstance(part, _BatchNorm)
        and part.training  # otherwise frozen
        and not isinstance(part, nn.SyncBatchNorm)
    ]
    buffers = [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var)]
    return [buffer for buffer in buffers if buffer is not None]


@torch.no_grad()
def average_statistics(statistics: Sequence[Tensor], processes: Processes) -> None:
    """Replace `local_statistics` by their mean over the processes, in place; each must call this.

    Called after every step, it keeps the network, and the average of its weights, the same in all
    processes.
    """
    if processes.world == 1 or not statistics:
        return
    joined = mean_over_processes(torch.cat(list(statistics)), processes)
    lengths = [len(statistic) for statistic in statistics]
    for statistic, mean in zip(statistics, joined.split(lengths), strict=True):
        statistic.copy_(mean)
