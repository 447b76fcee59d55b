"""The loss that a config describes: sums, options, and messages for what cannot be."""

import math

import pytest
import torch

from eseg.losses import LOSSES, LossConfig, build_loss


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=generator)
    return logits.requires_grad_(), torch.randint(0, 3, (2, 30, 37), generator=generator)


def test_the_default_is_hard_pixel_cross_entropy_bit_for_bit(batch):
    logits, mask = batch
    values = [loss(logits, mask) for loss in (build_loss(LossConfig()), *LOSSES.values())]
    gradients = [torch.autograd.grad(value, logits)[0] for value in values[:2]]
    assert values[0] == values[1]
    assert torch.equal(*gradients)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_can_be_chosen_by_name(batch, name):
    assert build_loss(LossConfig({name: 1.0}))(*batch) == LOSSES[name](*batch)


def test_terms_add_up_by_their_weights_with_their_own_options(batch):
    weights = (1.0, 2.0, 0.5)
    terms = {"cross_entropy": 0.5, "focal": 2.0, "dice": 3.0}
    config = LossConfig(terms, label_smoothing=0.2, gamma=1.0, class_weights=weights)
    class_weights = torch.tensor(weights)
    expected = (
        0.5 * LOSSES["cross_entropy"](*batch, label_smoothing=0.2, class_weights=class_weights)
        + 2.0 * LOSSES["focal"](*batch, gamma=1.0, class_weights=class_weights)
        + 3.0 * LOSSES["dice"](*batch)
    )
    torch.testing.assert_close(build_loss(config)(*batch), expected)


def test_a_loss_of_your_own_is_one_entry(batch, monkeypatch):
    def half(logits, mask, *, gamma):
        return gamma * logits.mean()

    monkeypatch.setitem(LOSSES, "half", half)
    config = LossConfig({"half": 1.0}, gamma=0.5)
    torch.testing.assert_close(build_loss(config)(*batch), 0.5 * batch[0].mean())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"threshold": 0.0}, "threshold"),
        ({"threshold": 1.1}, "threshold"),
        ({"min_kept": 0.0}, "min_kept"),
        ({"min_kept": math.nan}, "min_kept"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\), not 1.0"),
        ({"gamma": -1.0}, "gamma must be 0 or more"),
        ({"class_weights": (1.0, -1.0)}, "class_weights"),
        ({"class_weights": (1.0, math.inf)}, "class_weights"),
        ({"terms": {}}, "terms must name at least one loss; there are ohem_cross_entropy, "),
        ({"terms": {"dise": 1.0}}, "no loss 'dise'; there are .*cross_entropy, focal, dice, lov"),
        ({"terms": {"dice": 0.0}}, "terms: weights must be positive and finite, not 0.0"),
        ({"gamma": 1.0}, "gamma: ohem_cross_entropy does not have this option"),
        ({"terms": {"dice": 1.0}, "threshold": 0.5}, "threshold: dice does not have this option"),
        (
            {"terms": {"dice": 1.0, "lovasz": 1.0}, "class_weights": (1.0, 2.0)},
            "class_weights: dice and lovasz do not have this option",
        ),
    ],
)
def test_messages_name_the_value_and_what_is_allowed(values, message):
    with pytest.raises(ValueError, match=message):
        LossConfig(**values)
