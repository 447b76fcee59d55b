"""Which weights decay, and the schedule against torch's own schedulers."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from eseg.config import OptimConfig
from eseg.models import create_model
from eseg.training.optim import build_optimizer, learning_rate


def test_only_convolution_weights_decay(toy_config):
    model = create_model(toy_config().model)
    optimizer = build_optimizer(model, OptimConfig(lr=0.3, momentum=0.8, weight_decay=0.01))
    decay = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    kinds = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            is_kernel = isinstance(module, nn.Conv2d) and name == "weight"
            kinds.add((type(module).__name__, name))
            assert decay.pop(id(parameter)) == (0.01 if is_kernel else 0.0), kinds
    assert not decay
    assert {("Conv2d", "weight"), ("Conv2d", "bias"), ("SoftmaxSum", "weight")} <= kinds
    assert {(g["lr"], g["momentum"]) for g in optimizer.param_groups} == {(0.3, 0.8)}


def test_frozen_weights_are_left_out(toy_config):
    model = create_model(toy_config().model)
    model.encoder.requires_grad_(False)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    groups = build_optimizer(model, OptimConfig()).param_groups
    assert sum(p.numel() for group in groups for p in group["params"]) == trained


@pytest.mark.parametrize(("steps", "warmup"), [(40, 0), (40, 1), (40, 13)])
def test_equal_to_torch(steps, warmup):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.08)
    cosine = CosineAnnealingLR(optimizer, T_max=steps - warmup)
    schedule = cosine
    if warmup:
        rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
        schedule = SequentialLR(optimizer, [rise, cosine], milestones=[warmup])
    config = OptimConfig(lr=0.08, warmup_steps=warmup)
    for step in range(steps):
        expected = optimizer.param_groups[0]["lr"]
        assert learning_rate(step, steps, config) == pytest.approx(expected, rel=1e-6, abs=1e-12)
        optimizer.step()
        schedule.step()


@given(steps=st.integers(1, 500), warmup=st.integers(0, 60))
def test_rises_to_the_top_and_falls_to_nothing(steps, warmup):
    config = OptimConfig(lr=0.5, warmup_steps=warmup)
    rates = [learning_rate(step, steps, config) for step in range(steps)]
    assert all(0 < rate <= 0.5 for rate in rates)
    rise, fall = rates[: warmup + 1], rates[warmup:]
    assert all(a < b for a, b in pairwise(rise))
    assert all(a > b for a, b in pairwise(fall))
    if steps > warmup:
        assert rates[warmup] == 0.5
        last = 0.5 * (1 - math.cos(math.pi / (steps - warmup))) / 2
        assert rates[-1] == pytest.approx(last)
