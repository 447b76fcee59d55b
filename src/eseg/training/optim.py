"""Parameter groups of the optimiser, and the learning rate of each step (section 4.1)."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from eseg.config import OPTIMIZERS, SCHEDULES, OptimConfig
from eseg.losses.option_checks import options_for
from eseg.models import ESeg


def build_optimizer(network: ESeg, config: OptimConfig) -> Optimizer:
    """Build the optimiser of a config; weight decay acts on convolution weights only.

    Deviation: the paper does not say what decays. Norms, biases and fusion weights are left alone:
    pulling them to zero regularises nothing, and a fusion weight of zero has a meaning.
    """
    trained = [p for p in network.parameters() if p.requires_grad]
    parts: list[tuple[list[Any], dict[str, float]]] = [(trained, {})]
    if config.encoder_lr_factor != 1:
        encoder = {id(p) for p in network.encoder.parameters()}
        parts = [
            ([p for p in trained if id(p) in encoder], {"lr_factor": config.encoder_lr_factor}),
            ([p for p in trained if id(p) not in encoder], {}),
        ]
    groups: list[dict[str, Any]] = []
    for params, own in parts:
        kernels = [p for p in params if p.ndim > 1]
        others = [p for p in params if p.ndim <= 1]
        groups.append({"params": kernels, "weight_decay": config.weight_decay, **own})
        groups.append({"params": others, "weight_decay": 0.0, **own})
    optimizer = OPTIMIZERS[config.name]
    return optimizer(groups, **options_for(optimizer, config))


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Set the rate of every parameter group, the encoder's by its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_factor", 1.0)


def learning_rate(step: int, steps: int, config: OptimConfig) -> float:
    """Return the rate of a step: a linear rise over the warm-up, then the schedule.

    Args:
        step: From 0 to steps - 1.
        steps: Length of the run.
        config: Highest rate, length of the warm-up and schedule.
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / (config.warmup_steps + 1)
    progress = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    schedule = SCHEDULES[config.schedule]
    return config.lr * schedule(progress, **options_for(schedule, config))
