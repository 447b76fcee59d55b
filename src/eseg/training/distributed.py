"""The processes of a run: torch.distributed under torchrun, or this process alone."""

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

from eseg.errors import DeviceError

if TYPE_CHECKING or dist.is_available():  # some builds for small devices have no such part
    from torch.distributed.distributed_c10d import PrefixStore, Store
    from torch.distributed.rendezvous import rendezvous

PATIENCE = timedelta(minutes=5)
"""How long a process waits for the others in one exchange. Dead ones are noticed at once; this is
for those that hang, or whose machine is gone. The first alone writes the checkpoints, so it has to
be longer than that takes."""

_VARIABLES = ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells its processes beside `RANK`."""

_IS_RENAMED = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
_OWN_BUFFERS: dict[str, Any] = {
    "forward_sync_buffers" if _IS_RENAMED else "broadcast_buffers": False
}
"""Buffers are the same everywhere after each step; to send the first process's in between would
lose what the others' batch norms have seen. PyTorch 2.14 warns of the setting's old name."""

_ROUND = 0.05
"""Seconds between two looks of the first process at who has arrived."""


@dataclass(frozen=True)
class Processes:
    """Where this process stands among those of the run.

    Attributes:
        rank: Its number, in [0, world).
        world: How many there are.
        device: What it computes on.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files and prints."""
        return self.rank == 0


@contextmanager
def join_processes(device: torch.device) -> Iterator[Processes]:
    """Join the process group that torchrun set up, if it did, and leave it at the end.

    Within a `with join_processes` another one changes nothing: a group can be joined only once.

    Args:
        device: What to compute on; of several GPUs each process takes its own.

    Raises:
        DeviceError: The processes cannot each have such a device.
    """
    if "RANK" not in os.environ:
        yield Processes(0, 1, device)
        return
    if dist.is_initialized():
        yield Processes(dist.get_rank(), dist.get_world_size(), device)
        return
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"several processes cannot share {device}; add --device cpu")
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
    _join_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()


def _join_group(backend: str) -> None:
    # Apart, so that the store is not held when the group has been left: it may contain the server.
    store, rank, world = next(iter(rendezvous("env://", timeout=PATIENCE)))
    dist.init_process_group(
        backend,
        store=fresh_store(store, rank, world),
        rank=rank,
        world_size=world,
        timeout=PATIENCE,
    )


def fresh_store(store: Store, rank: int, world: int, patience: timedelta = PATIENCE) -> Store:
    """The part of a store that no earlier start of these processes has written to.

    When torchrun starts the processes anew it may give them the store they had before, and there
    the addresses of the dead ones still stand: who reads them before they are replaced waits in
    vain. So the first process makes up a name for this start and tells it to each that is here.

    Args:
        store: What all processes share; it may hold keys of processes that are no more.
        rank: This process's number, in [0, world).
        world: How many there are; each must call it.
        patience: How long the first process waits for the others; they wait as long as the store
            lets them.

    Raises:
        DistStoreError: Some process did not come.
    """
    if rank > 0:
        me = uuid4().hex
        store.set(f"eseg/arrived/{rank}", me)
        name = store.get(f"eseg/start_of/{me}").decode()
        store.add(f"{name}/told", 1)
        return PrefixStore(name, store)
    name = f"eseg/start/{uuid4().hex}"
    deadline = time.monotonic() + patience.total_seconds()
    while store.add(f"{name}/told", 0) < world - 1:
        for other in range(1, world):
            # Of a process that has not arrived yet this is the one before it: hence the rounds.
            arrived = store.get(f"eseg/arrived/{other}").decode()
            store.set(f"eseg/start_of/{arrived}", name)
        if time.monotonic() > deadline:
            raise dist.DistStoreError(
                f"of {world} processes {store.add(f'{name}/told', 0) + 1} came within "
                f"{patience.total_seconds():.0f} seconds"
            )
        time.sleep(_ROUND)
    return PrefixStore(name, store)


def share_network(model: nn.Module, processes: Processes) -> nn.Module:
    """Wrap a network for training by several processes; alone it stays as it is.

    On GPUs the batch norms then take their statistics over all processes, by timm's conversion,
    which knows its own batch norms with activation. On CPUs each process normalises by its own
    images, and `average_statistics` makes one of what they remember.
    """
    if processes.world == 1:
        return model
    if processes.device.type == "cuda":
        model = convert_sync_batchnorm(model)
    devices = [processes.device] if processes.device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=devices, **_OWN_BUFFERS)


def mean_over_processes(
    values: Float[Tensor, "*shape"], processes: Processes
) -> Float[Tensor, "*shape"]:
    """Average a tensor over the processes; each must call it, and all get the same numbers."""
    if processes.world == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / processes.world


def is_same_everywhere(number: int, processes: Processes) -> bool:
    """Whether every process has this number; each must call it."""
    if processes.world == 1:
        return True
    extremes = torch.tensor([number, -number], device=processes.device)
    dist.all_reduce(extremes, op=dist.ReduceOp.MAX)
    return extremes.sum().item() == 0


def local_statistics(model: nn.Module) -> list[Tensor]:
    """Running means and variances that each process has of its own images only.

    They are the live buffers, to be changed in place by `average_statistics`.
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
    """Replace batch-norm statistics by their mean over the processes, in place.

    Done after every step, it keeps one network, and one average of its weights, in all processes:
    whichever is evaluated or saved, it has seen the images of all.

    Args:
        statistics: What `local_statistics` found.
        processes: The processes; each must call it.
    """
    if processes.world == 1 or not statistics:
        return
    joined = mean_over_processes(torch.cat(list(statistics)), processes)
    lengths = [len(statistic) for statistic in statistics]
    for statistic, mean in zip(statistics, joined.split(lengths), strict=True):
        statistic.copy_(mean)
