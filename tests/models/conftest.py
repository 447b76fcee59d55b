"""Networks small enough to test in milliseconds, and a way to make them look trained."""

import pytest
import torch
from torch import nn

from eseg.models import ModelConfig
from eseg.models.fusion import LearnedSum

TINY = ModelConfig(
    backbone="lite",
    width=0.25,
    depth=0.5,
    num_classes=4,
    min_level=3,
    channels=8,
    repeats=2,
    activation="relu",
)


@pytest.fixture
def tiny() -> ModelConfig:
    """A Lite network of P3 to P9 with the wiring of the presets."""
    return TINY


@pytest.fixture
def randomise():
    """Replaces fresh statistics and fusion weights by random ones: fresh ones prove nothing."""

    def apply(model: nn.Module, seed: int = 0) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)

        def uniform(tensor, low, high):
            values = torch.rand(tensor.shape, generator=generator) * (high - low) + low
            tensor.copy_(values)

        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    uniform(module.running_mean, -0.5, 0.5)
                    uniform(module.running_var, 0.5, 2.0)
                    uniform(module.weight, 0.5, 1.5)
                    uniform(module.bias, -0.5, 0.5)
                elif isinstance(module, LearnedSum):
                    uniform(module.weight, 0.1, 2.0)
        return model

    return apply


@pytest.fixture
def unchecked():
    """Switches the run-time shape checks off: compilers cannot trace through them."""
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
