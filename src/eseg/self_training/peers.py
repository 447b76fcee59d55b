"""Processes that share the images of one folder."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

import torch.distributed as dist

from eseg.errors import LostProcessError

_TIMEOUT = timedelta(days=7)
"""Longest wait of a process for slower ones; one that dies is noticed at once."""

Value = TypeVar("Value")


class Peers:
    """Processes that share the images: those of the joined group, or this one alone.

    Attributes:
        rank: Number of this process, in [0, world).
        world: Number of processes.
    """

    def __init__(self) -> None:
        joined = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if joined else 0
        self.world = dist.get_world_size() if joined else 1
        # The group for training has a timeout of minutes.
        group = dist.new_group(backend="gloo", timeout=_TIMEOUT) if joined else None
        self._group = group if isinstance(group, dist.ProcessGroup) else None

    def gather(self, value: Value) -> list[Value]:
        """Return the values of all processes, once all have called this."""
        if self._group is None:
            return [value]
        values = [value] * self.world
        try:
            dist.all_gather_object(values, value, group=self._group)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise LostProcessError(
                f"another process has ended ({reason}); its own message says why. The same command "
                "goes on where this one stopped"
            ) from error
        return values
