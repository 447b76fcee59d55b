"""Parameter groups and options of the optimisers, and schedules against torch's own."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, PolynomialLR, SequentialLR

from eseg.config import OPTIMIZERS, SCHEDULES, OptimConfig
from eseg.models import create_model
from eseg.training.optim import build_optimizer, learning_rate, set_learning_rate


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


@pytest.mark.parametrize("power", [0.9, 2.0])
def test_poly_is_torchs(power):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.08)
    schedule = PolynomialLR(optimizer, total_iters=30, power=power)
    config = OptimConfig(schedule="poly", poly_power=power)
    for step in range(30):
        expected = optimizer.param_groups[0]["lr"]
        assert learning_rate(step, 30, config) == pytest.approx(expected, rel=1e-6)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_has_the_warm_up_and_starts_at_the_top(schedule):
    config = OptimConfig(lr=0.5, warmup_steps=4, schedule=schedule)
    rates = [learning_rate(step, 20, config) for step in range(20)]
    assert rates[:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert all(a >= b > 0 for a, b in pairwise(rates[4:]))
    assert schedule == "constant" or rates[-1] < 0.1


def test_the_default_groups_are_kernels_and_others(toy_config):
    """Their order and keys are part of every checkpoint."""
    model = create_model(toy_config().model)
    groups = build_optimizer(model, OptimConfig()).param_groups
    assert [group["params"][0].ndim for group in groups] == [4, 1]
    plain = torch.optim.SGD([nn.Parameter(torch.zeros(1))]).param_groups[0]
    assert all(group.keys() == plain.keys() for group in groups)


def test_the_encoder_can_have_a_rate_of_its_own(toy_config):
    model = create_model(toy_config().model)
    optimizer = build_optimizer(model, OptimConfig(encoder_lr_factor=0.1, weight_decay=0.01))
    set_learning_rate(optimizer, 0.4)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    encoder = {id(p) for p in model.encoder.parameters()}
    assert len(rates) == len(list(model.parameters()))
    for parameter, lr in rates.items():
        assert lr == pytest.approx(0.04 if parameter in encoder else 0.4)
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.01, 0.0}


def test_an_encoder_frozen_as_a_whole_leaves_empty_groups(toy_config):
    model = create_model(toy_config().model)
    model.encoder.requires_grad_(False)
    optimizer = build_optimizer(model, OptimConfig(encoder_lr_factor=0.1))
    model(torch.rand(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    assert [bool(group["params"]) for group in optimizer.param_groups] == [False, False, True, True]


def test_adamw_takes_its_own_options(toy_config):
    model = create_model(toy_config().model)
    config = OptimConfig(name="adamw", lr=1e-3, betas=(0.8, 0.9), weight_decay=0.05)
    optimizer = build_optimizer(model, config)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert [group["betas"] for group in optimizer.param_groups] == [(0.8, 0.9)] * 2
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.05, 0.0]


def test_an_optimiser_of_your_own_is_one_entry(toy_config, monkeypatch):
    monkeypatch.setitem(OPTIMIZERS, "rmsprop", torch.optim.RMSprop)
    model = create_model(toy_config().model)
    optimizer = build_optimizer(model, OptimConfig(name="rmsprop", momentum=0.5))
    assert [group["momentum"] for group in optimizer.param_groups] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "adam"}, "name: no optimiser 'adam'; there are sgd, adamw$"),
        ({"schedule": "step"}, "no schedule 'step'; there are cosine, poly, constant$"),
        ({"name": "adamw", "momentum": 0.8}, "momentum: adamw does not have this option"),
        ({"betas": (0.5, 0.9)}, "betas: sgd does not have this option"),
        ({"poly_power": 2.0}, "poly_power: cosine does not have this option"),
        ({"name": "adamw", "betas": (0.9, 1.0)}, r"betas must be in \[0, 1\)"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), not 1.0"),
        ({"encoder_lr_factor": 0.0}, "encoder_lr_factor must be above 0, not 0.0"),
        ({"frozen_stages": 6}, "frozen_stages must be from 0 to 5, not 6"),
    ],
)
def test_messages_name_the_value_and_what_is_allowed(values, message):
    with pytest.raises(ValueError, match=message):
        OptimConfig(**values)


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
