"""The training loss that a config describes: one loss, or a weighted sum of several."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TypeAlias

import torch
from torch import Tensor

from eseg.losses.cross_entropy import cross_entropy, focal
from eseg.losses.dice import dice
from eseg.losses.lovasz import lovasz
from eseg.losses.ohem import ohem_cross_entropy
from eseg.losses.option_checks import options_for, require_taken

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From float logits (batch, classes, rows, columns) at the head's stride and integer class ids
(batch, height, width), `IGNORE_INDEX` where there is no label, to a scalar."""

LOSSES: dict[str, Callable[..., Tensor]] = {
    "ohem_cross_entropy": ohem_cross_entropy,
    "cross_entropy": cross_entropy,
    "focal": focal,
    "dice": dice,
    "lovasz": lovasz,
}
"""The losses by name. Beside (logits, mask), each takes the options of `LossConfig` that its
signature names."""


@dataclass(frozen=True)
class LossConfig:
    """The losses of a run and their options; an option that no chosen loss has is refused.

    Attributes:
        terms: Positive weight of each loss in the sum, by its name in `LOSSES`.
        threshold: `ohem_cross_entropy`: a pixel is hard while the probability of its true class is
            below this; in (0, 1].
        min_kept: `ohem_cross_entropy`: share of a local batch's valid pixels that count at least,
            in (0, 1]. With 1 every valid pixel counts: plain mean cross-entropy.
        label_smoothing: `cross_entropy`: share of the target spread evenly over all classes, in
            [0, 1).
        gamma: `focal`: exponent that turns attention to hard pixels, 0 or more; 0 is plain
            cross-entropy.
        class_weights: All but `dice` and `lovasz`: one positive weight per class, or None for
            equal weights.
    """

    terms: dict[str, float] = field(default_factory=lambda: {"ohem_cross_entropy": 1.0})
    threshold: float = 0.7
    min_kept: float = 1 / 16
    label_smoothing: float = 0.0
    gamma: float = 2.0
    class_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse unknown losses, options out of range and options without effect."""
        known = ", ".join(LOSSES)
        if not self.terms:
            raise ValueError(f"terms must name at least one loss; there are {known}")
        for name, weight in self.terms.items():
            if name not in LOSSES:
                raise ValueError(f"terms: no loss {name!r}; there are {known}")
            if not 0 < weight < math.inf:
                raise ValueError(f"terms: weights must be positive and finite, not {weight}")
        for name in ("threshold", "min_kept"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, not {value}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), not {self.label_smoothing}")
        if not 0 <= self.gamma < math.inf:
            raise ValueError(f"gamma must be 0 or more and finite, not {self.gamma}")
        weights = self.class_weights
        if weights is not None and not all(0 < weight < math.inf for weight in weights):
            raise ValueError(f"class_weights must be positive and finite, not {weights}")
        options = [option.name for option in fields(self) if option.name != "terms"]
        require_taken(self, options, {name: LOSSES[name] for name in self.terms})


def build_loss(config: LossConfig, device: torch.device | str = "cpu") -> Loss:
    """Build the loss that a config describes, with its class weights on a device."""
    weights = None
    if config.class_weights is not None:
        weights = torch.tensor(config.class_weights, device=device)
    terms = []
    for name, weight in config.terms.items():
        options = options_for(LOSSES[name], config)
        if "class_weights" in options:
            options["class_weights"] = weights
        terms.append((weight, functools.partial(LOSSES[name], **options)))

    def loss(logits: Tensor, mask: Tensor) -> Tensor:
        return torch.stack([weight * term(logits, mask) for weight, term in terms]).sum()

    return loss
