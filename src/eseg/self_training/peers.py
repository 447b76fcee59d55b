"""Processes that share the images of one folder."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

import torch.distributed as dist

from eseg.errors import LostProcessError

_PATIENCE = timedelta(days=7)
"""How long a process waits for slower ones; one that dies is noticed at once."""

Value = TypeVar("Value")


class Peers:
    """The processes that share the images: those of the group that was joined, or this one.

    Attributes:
        rank: The number of this one, in [0, world).
        world: How many there are.
    """

    def __init__(self) -> None:
        joined = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if joined else 0
        self.world = dist.get_world_size() if joined else 1
        # Apart from the group for training, which waits for minutes only.
        group = dist.new_group(backend="gloo", timeout=_PATIENCE) if joined else None
        self._group = group if isinstance(group, dist.ProcessGroup) else None

    def gather(self, value: Value) -> list[Value]:
        """The value of every process, once all have come here."""
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
