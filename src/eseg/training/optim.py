"""SGD with momentum under a cosine schedule (section 4.1)."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import SGD

from eseg.config import OptimConfig


def build_optimizer(model: nn.Module, config: OptimConfig) -> SGD:
    """SGD whose weight decay acts on convolution weights only.

    Deviation: the paper does not say what decays. Norms, biases and fusion weights are left alone:
    pulling them to zero regularises nothing, and a fusion weight of zero has a meaning.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return SGD(groups, lr=config.lr, momentum=config.momentum)


def learning_rate(step: int, steps: int, config: OptimConfig) -> float:
    """The rate of a step: a linear rise over the warm-up, then half a cosine down to zero.

    Args:
        step: From 0 to steps - 1.
        steps: Length of the run.
        config: Highest rate and length of the warm-up.
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / (config.warmup_steps + 1)
    progress = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    return config.lr * (1 + math.cos(math.pi * progress)) / 2
