"""The average against its formula in plain Python."""

import pytest
import torch
from torch import nn

from eseg.models import create_model
from eseg.training.ema import WeightAverage


@pytest.mark.parametrize("decay", [0.0, 0.25, 0.9998])
def test_formula_with_warm_up(decay):
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    average = WeightAverage(model, decay)
    expected = 2.0
    for t, latest in enumerate([5.0, -1.0, 0.5, 8.0, 3.0, -7.0]):
        nn.init.constant_(model.weight, latest)
        average.update(model)
        kept = min(decay, (1 + t) / (10 + t))
        expected = kept * expected + (1 - kept) * latest
        assert average.model.weight.item() == pytest.approx(expected, rel=1e-5)
    assert average.updates == 6


def test_statistics_are_averaged_and_counters_copied():
    model = nn.BatchNorm2d(3)
    average = WeightAverage(model, 0.99)
    model(torch.randn(4, 3, 5, 5) + 7)
    model(torch.randn(4, 3, 5, 5) + 7)
    before = model.running_mean.clone()
    average.update(model)
    assert model.num_batches_tracked == average.model.num_batches_tracked == 2
    torch.testing.assert_close(average.model.running_mean, 0.9 * before)  # it was 0; kept is 1/10
    torch.testing.assert_close(average.model.running_var, 0.1 + 0.9 * model.running_var)


def test_the_followed_network_is_left_alone(toy_config):
    model = create_model(toy_config().model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    average = WeightAverage(model, 0.5)
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    assert not average.model.training
    assert not any(p.requires_grad for p in average.model.parameters())
    average.update(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with torch.no_grad():  # no memory is shared
        next(model.parameters()).add_(1)
    name, value = next(iter(average.model.named_parameters()))
    torch.testing.assert_close(value, before[name])


def test_a_constant_network_is_its_own_average(toy_config):
    model = create_model(toy_config().model).eval()
    average = WeightAverage(model, 0.9)
    for _ in range(5):
        average.update(model)
    image = torch.rand(1, 3, 33, 47)
    with torch.no_grad():
        torch.testing.assert_close(average.model(image), model(image))
