"""Exponential moving average of a network's weights (section 4.1)."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class WeightAverage(Generic[Network]):
    """A copy of a network with averaged weights, which is evaluated and kept.

    Deviation: the paper gives neither decay nor warm-up. Here the decay of update t is
    `min(decay, (1 + t) / (10 + t))`; otherwise the random start would dominate short runs. Buffers
    (batch-norm statistics) are averaged like weights, since they must fit the averaged weights and
    not the latest; integer buffers are copied.

    Args:
        model: The network to follow.
        decay: Share of the old average kept per update, in [0, 1).

    Attributes:
        model: The averaged network, in evaluation mode.
        updates: Number of updates so far.
    """

    def __init__(self, model: Network, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the network's current weights."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        latest = model.state_dict()
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                value.lerp_(latest[name], 1 - decay)
            else:
                value.copy_(latest[name])
