"""The hard-pixel loss at the mask's size against a slow loop, and its edge cases."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from eseg.losses.ohem import ohem_cross_entropy, pixel_weights


def batch(seed=0, *, classes=5, size=(9, 7), ignored=0.2, sharpness=3.0):
    """Random logits and a mask that they agree with about half of the time."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.randint(0, classes, (2, *size), generator=generator)
    logits = sharpness * torch.randn(2, classes, *size, generator=generator)
    logits += sharpness * F.one_hot(mask, classes).movedim(-1, 1)
    mask[torch.rand(mask.shape, generator=generator) < ignored] = 255
    return logits, mask


def slow_loss(logits, mask, *, threshold, min_kept, weight=None, ignore_index=255):
    """The rule of the docstring, pixel by pixel in float64; also the gradient by the logits."""
    logits = logits.double().numpy()
    mask = mask.numpy()
    pixels = []
    for n, y, x in np.ndindex(mask.shape):
        label = int(mask[n, y, x])
        if label == ignore_index:
            continue
        scores = np.exp(logits[n, :, y, x] - logits[n, :, y, x].max())
        probs = scores / scores.sum()
        pixels.append((probs[label], label, probs, (n, y, x)))
    pixels.sort(key=lambda pixel: pixel[0])
    hard = sum(pixel[0] < threshold for pixel in pixels)
    kept = pixels[: max(hard, math.ceil(min_kept * len(pixels)))]

    weights = np.ones(logits.shape[1]) if weight is None else weight.double().numpy()
    total = sum(weights[label] for _, label, _, _ in kept)
    loss = sum(-weights[label] * np.log(prob) for prob, label, _, _ in kept) / total
    gradient = np.zeros_like(logits)
    for _, label, probs, (n, y, x) in kept:
        onehot = np.arange(len(probs)) == label
        gradient[n, :, y, x] = weights[label] * (probs - onehot) / total
    return loss, gradient


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("threshold", "min_kept"),
    [(0.7, 1 / 16), (0.3, 1 / 64), (0.01, 1 / 4), (1e-6, 1 / 16), (1.0, 1 / 16), (0.5, 1.0)],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_value_and_gradient_equal_a_slow_loop(threshold, min_kept, weighted, seed):
    logits, mask = batch(seed)
    logits.requires_grad_()
    weight = torch.tensor([0.5, 1.0, 2.0, 4.0, 0.1]) if weighted else None
    loss = ohem_cross_entropy(
        logits, mask, threshold=threshold, min_kept=min_kept, class_weights=weight
    )
    loss.backward()
    expected, gradient = slow_loss(
        logits.detach(), mask, threshold=threshold, min_kept=min_kept, weight=weight
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad.numpy(), gradient, atol=1e-6)


@pytest.mark.parametrize("weight", [None, torch.tensor([0.5, 1.0, 2.0, 4.0, 0.1])])
def test_everything_kept_is_plain_cross_entropy(weight):
    logits, mask = batch()
    loss = ohem_cross_entropy(logits, mask, threshold=1.0, min_kept=1.0, class_weights=weight)
    plain = F.cross_entropy(logits, mask, weight=weight, ignore_index=255)
    torch.testing.assert_close(loss, plain)


def test_min_kept_counts_valid_pixels_only():
    # Every pixel is easy; of the 8 valid ones a quarter, so the two hardest, must count.
    confidence = torch.arange(1.0, 33.0).reshape(1, 1, 4, 8) + 5
    logits = torch.cat([confidence, torch.zeros_like(confidence)], dim=1)
    mask = torch.full((1, 4, 8), 255)
    mask[:, 0] = 0
    loss = ohem_cross_entropy(logits, mask, threshold=0.5, min_kept=0.25)
    hardest = F.cross_entropy(logits[..., 0, :2], mask[:, 0, :2])
    torch.testing.assert_close(loss, hardest)


def test_at_least_one_pixel_counts():
    logits = torch.tensor([9.0, 0.0]).reshape(1, 2, 1, 1)
    loss = ohem_cross_entropy(logits, torch.zeros(1, 1, 1, dtype=torch.long), min_kept=1e-9)
    torch.testing.assert_close(loss, torch.tensor(math.log1p(math.exp(-9.0))))


def test_ties_for_the_last_place_all_count():
    logits = torch.zeros(1, 2, 2, 3, requires_grad=True)
    mask = torch.zeros(1, 2, 3, dtype=torch.long)
    loss = ohem_cross_entropy(logits, mask, threshold=0.1, min_kept=0.2)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[:, 0].unique().numel() == 1


@pytest.mark.parametrize("min_kept", [1e-9, 0.1, 0.5, 0.999])
def test_ranking_agrees_with_sorting(min_kept):
    generator = torch.Generator().manual_seed(0)
    loss = torch.randn(2, 30, 40, generator=generator).mul(20).exp().clamp(max=600)
    loss[0, :10] = loss[0, 10:20]  # ties
    loss[1, :5], loss[1, 5:10] = 0.0, -0.0
    valid = torch.rand(loss.shape, generator=generator) < 0.8
    counted = pixel_weights(
        loss, torch.zeros(loss.shape, dtype=torch.long), valid, 1e-300, min_kept, None
    )
    ranked = loss[valid].sort(descending=True).values
    last = ranked[max(1, math.ceil(min_kept * len(ranked))) - 1]
    assert torch.equal(counted, (valid & (loss >= last)).float())


def test_ignored_pixels_have_no_say():
    logits, mask = batch()
    ignored = (mask == 255)[:, None].expand_as(logits)
    changed = logits.where(~ignored, 100 * torch.randn_like(logits)).requires_grad_()
    loss = ohem_cross_entropy(changed, mask)
    assert loss.item() == ohem_cross_entropy(logits, mask).item()
    loss.backward()
    assert changed.grad is not None
    assert not changed.grad[ignored].any()


def test_all_ignored_is_zero_with_a_gradient():
    logits, mask = batch(ignored=1.1)
    logits.requires_grad_()
    loss = ohem_cross_entropy(logits, mask)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_mask_dtype_does_not_matter(dtype):
    logits, mask = batch()
    assert ohem_cross_entropy(logits, mask.to(dtype)) == ohem_cross_entropy(logits, mask)


def test_another_ignore_index():
    logits, mask = batch()
    loss = ohem_cross_entropy(logits, mask.where(mask != 255, -100), ignore_index=-100)
    assert loss == ohem_cross_entropy(logits, mask)


def test_half_precision_logits_are_computed_in_float32_even_under_autocast():
    logits, mask = batch()
    half = logits.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = ohem_cross_entropy(half, mask)
    assert loss.dtype == torch.float32
    assert loss == ohem_cross_entropy(half.float(), mask)


def test_nan_is_not_hidden():
    logits, mask = batch(ignored=0)
    logits[0, :, 3, 3] = math.nan
    assert ohem_cross_entropy(logits, mask).isnan()
