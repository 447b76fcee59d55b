"""Initial weights of a new run from the checkpoint of another one (fine-tuning)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from eseg.checkpoint import load_checkpoint
from eseg.errors import CheckpointError
from eseg.models import ESeg, ModelConfig
from eseg.runtime.class_table import ClassTable

_MAY_DIFFER = {"num_classes", "norm_momentum", "fusion_slope"}
"""Fields that may differ: other classes get a new head, the rest does not affect any weight."""


@dataclass(frozen=True)
class InitialWeights:
    """Origin of a network's first weights.

    Attributes:
        path: The checkpoint.
        step: Optimiser steps behind its weights.
        loaded: Number of tensors loaded, by part of the network (encoder, decoder, ...).
        new: Number of tensors left at their random values, by part.
        reason: Why those are new, or "" if none is.
    """

    path: Path
    step: int
    loaded: dict[str, int]
    new: dict[str, int]
    reason: str

    def __str__(self) -> str:
        """Describe in one line what was loaded, what was not, and why."""
        total = sum((self.loaded | self.new).values())
        text = (
            f"weights of {self.path} (step {self.step}): loaded {sum(self.loaded.values())} of "
            f"{total} tensors ({_counts(self.loaded)})"
        )
        return f"{text}; made anew {_counts(self.new)}, {self.reason}" if self.new else text


def load_initial_weights(network: ESeg, path: Path, classes: ClassTable) -> InitialWeights:
    """Copy the averaged weights of a checkpoint into a freshly built network for these classes.

    The head stays as it is unless the checkpoint has the same classes in the same order.

    Raises:
        CheckpointError: The file cannot be read, or its network is built differently.
    """
    checkpoint = load_checkpoint(path)
    require_same_architecture(checkpoint.model, network.config, f"init.checkpoint: {path}")
    keeps_head = checkpoint.classes.names == classes.names
    own, given = network.state_dict(), checkpoint.weights
    new = [name for name in own if not keeps_head and name.startswith("head.")]
    kept = [name for name in own if name not in new]
    unfit = [name for name in kept if name not in given or given[name].shape != own[name].shape]
    if unfit:
        raise CheckpointError(
            f"init.checkpoint: {path}: its weights do not fit its architecture; missing or of "
            f"another shape: {', '.join(unfit[:3])} ({len(unfit)} in all)"
        )
    network.load_state_dict(own | {name: given[name] for name in kept})
    if keeps_head:
        reason = ""
    elif len(classes) == len(checkpoint.classes):
        reason = "as the classes have other names or another order here"
    else:
        reason = f"for {len(classes)} classes here in place of {len(checkpoint.classes)} there"
    return InitialWeights(path, checkpoint.step, _by_part(kept), _by_part(new), reason)


def require_same_architecture(there: ModelConfig, here: ModelConfig, source: str) -> None:
    """Refuse weights from `there`, named `source`, if they do not mean the same `here`.

    Raises:
        CheckpointError: Fields differ that affect a weight's shape or meaning.
    """
    own = vars(here)
    differences = [
        f"{name} {value} (here {own[name]})"
        for name, value in vars(there).items()
        if name not in _MAY_DIFFER and value != own[name]
    ]
    if differences:
        raise CheckpointError(
            f"{source} is of another architecture: {', '.join(differences)}; give the model "
            "section its values, or use another checkpoint"
        )


def _by_part(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(name.partition(".")[0] for name in names))


def _counts(parts: dict[str, int]) -> str:
    return ", ".join(f"{part} {count}" for part, count in parts.items())
