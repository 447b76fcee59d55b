"""Fine-tuning: a new run that starts from the weights of another one."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from eseg.checkpoint import load_checkpoint
from eseg.errors import CheckpointError
from eseg.models import ESeg, ModelConfig
from eseg.runtime.class_table import ClassTable

_HEAD = "head"
_FREE = {"num_classes", "norm_momentum", "fusion_slope"}
"""What may differ: the head is made anew for other classes, the others are in no weight."""


@dataclass(frozen=True)
class InitialWeights:
    """Where a network's first weights came from.

    Attributes:
        path: The checkpoint.
        step: Optimiser steps behind its weights.
        loaded: Tensors taken from it, counted by part of the network (encoder, decoder, ...).
        new: Tensors that stay as they were drawn, counted by part.
        reason: Why those are new, or "" if none is.
    """

    path: Path
    step: int
    loaded: dict[str, int]
    new: dict[str, int]
    reason: str

    def __str__(self) -> str:
        """One line for people: what was loaded, what was not, and why."""
        total = sum((self.loaded | self.new).values())
        text = (
            f"weights of {self.path} (step {self.step}): loaded {sum(self.loaded.values())} of "
            f"{total} tensors ({_counts(self.loaded)})"
        )
        return f"{text}; made anew {_counts(self.new)}, {self.reason}" if self.new else text

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON can hold them."""
        return dataclasses.asdict(self) | {"path": str(self.path)}


def load_initial_weights(network: ESeg, path: Path, classes: ClassTable) -> InitialWeights:
    """Copy the weights of a checkpoint (the averaged ones of its run) into a network.

    The head is left as it is unless the checkpoint has the same classes in the same order.

    Args:
        network: The network, freshly built.
        path: The checkpoint.
        classes: The classes that the network is for.

    Returns:
        What was loaded and what was not.

    Raises:
        CheckpointError: The file cannot be read, or its network is built differently.
    """
    checkpoint = load_checkpoint(path)
    require_same_architecture(checkpoint.model, network.config, f"init.checkpoint: {path}")
    keeps_head = checkpoint.classes.names == classes.names
    own = network.state_dict()
    kept = [name for name in own if keeps_head or _part(name) != _HEAD]
    new = [name for name in own if not keeps_head and _part(name) == _HEAD]
    unfit = [name for name in kept if _shape(checkpoint.weights.get(name)) != _shape(own[name])]
    if unfit:
        raise CheckpointError(
            f"init.checkpoint: {path}: its weights are not those of its architecture; missing or "
            f"of another shape: {', '.join(unfit[:3])} ({len(unfit)} in all)"
        )
    network.load_state_dict(own | {name: checkpoint.weights[name] for name in kept})
    reason = ""
    if not keeps_head:
        reason = f"for {len(classes)} classes here in place of {len(checkpoint.classes)} there"
        if len(classes) == len(checkpoint.classes):
            reason = "for the classes have other names or another order here"
    return InitialWeights(path, checkpoint.step, _by_part(kept), _by_part(new), reason)


def require_same_architecture(there: ModelConfig, here: ModelConfig, source: str) -> None:
    """Refuse weights that belong to a network built differently.

    Args:
        there: The architecture of the weights.
        here: That of the network which is to start from them.
        source: Where they come from, for the message.

    Raises:
        CheckpointError: Fields differ that have a say in a weight's shape or meaning.
    """
    differences = [
        f"{field.name} {getattr(there, field.name)} (here {getattr(here, field.name)})"
        for field in dataclasses.fields(ModelConfig)
        if field.name not in _FREE and getattr(there, field.name) != getattr(here, field.name)
    ]
    if differences:
        raise CheckpointError(
            f"{source} is of another architecture: {', '.join(differences)}; give the model "
            "section its values, or take another checkpoint"
        )


def _part(name: str) -> str:
    return name.partition(".")[0]


def _by_part(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(_part(name) for name in names))


def _shape(weight: Tensor | None) -> tuple[int, ...] | None:
    return None if weight is None else tuple(weight.shape)


def _counts(parts: dict[str, int]) -> str:
    return ", ".join(f"{part} {count}" for part, count in parts.items())
