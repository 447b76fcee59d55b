"""The processes of a run: torch.distributed under torchrun, or this process alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from timm.layers.norm_act import convert_sync_batchnorm
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from eseg.devices import DeviceError


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

    Args:
        device: What to compute on; of several GPUs each process takes its own.
    """
    if "RANK" not in os.environ:
        yield Processes(0, 1, device)
        return
    if device.type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise DeviceError(
                f"process {local + 1} of this machine has no GPU of its own: there are "
                f"{torch.cuda.device_count()}; start no more processes than that"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()


def share_network(model: nn.Module, processes: Processes) -> nn.Module:
    """Wrap a network for training by several processes; alone it stays as it is.

    On GPUs the batch norms then take their statistics over all processes, by timm's conversion,
    which knows its own batch norms with activation.
    """
    if processes.world == 1:
        return model
    if processes.device.type == "cuda":
        model = convert_sync_batchnorm(model)
        return DistributedDataParallel(model, device_ids=[processes.device])
    return DistributedDataParallel(model)


def mean_over_processes(value: float, processes: Processes) -> float:
    """Average a number over the processes; each must call it."""
    if processes.world == 1:
        return value
    total = torch.tensor(value, dtype=torch.float64, device=processes.device)
    dist.all_reduce(total)
    return total.item() / processes.world


def equalise_state(model: nn.Module, processes: Processes) -> None:
    """Give every process the weights and buffers of the main one.

    Each process keeps batch-norm statistics of the images it saw; evaluation and checkpoints need
    one network.
    """
    if processes.world > 1:
        for value in model.state_dict().values():
            dist.broadcast(value, src=0)
