"""The optimiser and the learning-rate schedule that a config describes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch.optim import SGD, AdamW, Optimizer

from eseg.losses.option_checks import require_taken

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"sgd": SGD, "adamw": AdamW}
"""The optimisers by name. Each is called with parameter groups and the fields of `OptimConfig`
that its signature names."""


def cosine(progress: float) -> float:
    """Fall along half a cosine to zero (section 4.1)."""
    return (1 + math.cos(math.pi * progress)) / 2


def poly(progress: float, *, poly_power: float = 0.9) -> float:
    """Fall to zero as a power of what is left of the run (DeepLab)."""
    return (1 - progress) ** poly_power


def constant(progress: float) -> float:
    """Stay at the highest rate."""
    return 1.0


SCHEDULES: dict[str, Callable[..., float]] = {"cosine": cosine, "poly": poly, "constant": constant}
"""The schedules by name: from the progress since the warm-up, in [0, 1), to a factor of the highest
rate. Each takes the fields of `OptimConfig` that its signature names."""


@dataclass(frozen=True)
class OptimConfig:
    """The optimiser, its schedule, and the parts of the encoder that stay frozen (section 4.1).

    An option that the chosen optimiser or schedule does not have is refused.

    Attributes:
        name: Optimiser: `sgd` (the paper's) or `adamw`.
        lr: Highest learning rate, for the batch size in `train`. AdamW needs one far below the
            default, such as 5e-4.
        momentum: `sgd`: in [0, 1).
        betas: `adamw`: decay of the averages of the gradient and of its square, each in [0, 1).
        weight_decay: On convolution weights only; norms, biases and fusion weights have none.
        schedule: Course of the rate after the warm-up: `cosine` (the paper's) or `poly` down to
            zero, or `constant`.
        poly_power: `poly`: exponent, above 0.
        warmup_steps: Steps over which the rate rises linearly to `lr`. The paper names none.
        clip_norm: Largest norm of the gradient over all weights, or null for no limit.
        encoder_lr_factor: Learning rate of the encoder as a multiple of that of the other parts.
        frozen_stages: Number of encoder stages, from the image on, whose weights and batch-norm
            statistics stay as they are. Stage i ends with the encoder's map at stride 2^i; 5 is
            the whole encoder.
        frozen_norms: If True, the batch norms of the whole encoder normalise by the statistics
            that they start with and leave them as they are; their factors and offsets are trained.
    """

    name: str = "sgd"
    lr: float = 0.08
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 5e-5
    schedule: str = "cosine"
    poly_power: float = 0.9
    warmup_steps: int = 0
    clip_norm: float | None = None
    encoder_lr_factor: float = 1.0
    frozen_stages: int = 0
    frozen_norms: bool = False

    def __post_init__(self) -> None:
        """Refuse unknown names, values that cannot train and options without effect."""
        if self.name not in OPTIMIZERS:
            raise ValueError(f"name: no optimiser {self.name!r}; there are {', '.join(OPTIMIZERS)}")
        if self.schedule not in SCHEDULES:
            known = ", ".join(SCHEDULES)
            raise ValueError(f"schedule: no schedule {self.schedule!r}; there are {known}")
        for name in ("lr", "poly_power", "encoder_lr_factor"):
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"{name} must be above 0, not {value}")
        for name, values in (("momentum", (self.momentum,)), ("betas", self.betas)):
            if not all(0 <= value < 1 for value in values):
                raise ValueError(f"{name} must be in [0, 1), not {getattr(self, name)}")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must be 0 or more, not {self.weight_decay}")
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps must be 0 or more, not {self.warmup_steps}")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise ValueError(f"clip_norm must be above 0 or null, not {self.clip_norm}")
        if not 0 <= self.frozen_stages <= 5:
            raise ValueError(f"frozen_stages must be from 0 to 5, not {self.frozen_stages}")
        require_taken(self, ("momentum", "betas"), {self.name: OPTIMIZERS[self.name]})
        require_taken(self, ("poly_power",), {self.schedule: SCHEDULES[self.schedule]})
