"""Sums over pixels in strips against the same sums of interpolated logits, for every loss."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from eseg.losses import strips, sum_over_pixels
from eseg.losses.cross_entropy import cross_entropy, focal
from eseg.losses.dice import dice
from eseg.losses.lovasz import lovasz

WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 4.0, 0.1])
SIZES = [
    ((4, 6), (32, 48)),
    ((5, 7), (33, 54)),
    ((1, 1), (5, 3)),
    ((6, 6), (6, 6)),
    ((9, 8), (5, 9)),
]


def plain_cross_entropy(scores, mask, label_smoothing=0.0, class_weights=None):
    """torch's own, which also divides by the weights of the true classes."""
    return F.cross_entropy(
        scores, mask, class_weights, ignore_index=255, label_smoothing=label_smoothing
    )


def plain_focal(scores, mask, gamma=2.0, class_weights=None):
    probs = scores.softmax(1).movedim(1, -1)[mask != 255]
    labels = mask[mask != 255]
    true = probs[torch.arange(len(labels)), labels]
    weights = torch.ones(len(labels)) if class_weights is None else class_weights[labels]
    return -(weights * (1 - true) ** gamma * true.log()).sum() / weights.sum()


def plain_dice(scores, mask):
    probs = scores.softmax(1).movedim(1, -1)[mask != 255]
    truth = F.one_hot(mask[mask != 255], probs.shape[1]).float()
    losses = [
        1 - 2 * (probs[:, k] * truth[:, k]).sum() / (probs[:, k].sum() + truth[:, k].sum())
        for k in range(probs.shape[1])
        if truth[:, k].any()
    ]
    return torch.stack(losses).mean()


def plain_lovasz(scores, mask):
    """The extension from its definition: the Jaccard loss of every set of the worst pixels."""
    probs = scores.softmax(1).movedim(1, -1)[mask != 255]
    labels = mask[mask != 255]
    losses = []
    for k in labels.unique().tolist():
        own = labels == k
        errors = torch.where(own, 1 - probs[:, k], probs[:, k])
        order = errors.detach().argsort(descending=True).tolist()
        wrong, before, loss = torch.zeros_like(own), 0.0, 0.0
        for pixel in order:
            wrong[pixel] = True
            jaccard = 1 - (own & ~wrong).sum().item() / (own | wrong).sum().item()
            loss = loss + errors[pixel] * (jaccard - before)
            before = jaccard
        losses.append(loss)
    return torch.stack(losses).mean()


CASES = [
    (cross_entropy, plain_cross_entropy, {}),
    (cross_entropy, plain_cross_entropy, {"label_smoothing": 0.1}),
    (cross_entropy, plain_cross_entropy, {"label_smoothing": 0.3, "class_weights": WEIGHTS}),
    (focal, plain_focal, {}),
    (focal, plain_focal, {"gamma": 0.5}),
    (focal, plain_focal, {"gamma": 0.0, "class_weights": WEIGHTS}),
    (focal, plain_focal, {"gamma": 3.0, "class_weights": WEIGHTS}),
    (dice, plain_dice, {}),
    (lovasz, plain_lovasz, {}),
]


def batch(small=(5, 7), size=(33, 54), classes=5, ignored=0.2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, classes, *small, generator=generator)
    mask = torch.randint(0, classes, (2, *size), generator=generator)
    mask[torch.rand(mask.shape, generator=generator) < ignored] = 255
    mask[mask == 3] = 1  # a class that no pixel has
    return logits, mask


def value_and_gradient(loss, logits, *given, **options):
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, *given, **options)
    (3 * value).backward()
    return value.detach(), logits.grad


def upsampled(loss):
    def run(logits, mask, **options):
        size = mask.shape[1:]
        scores = F.interpolate(logits.float(), size, mode="bilinear", align_corners=False)
        return loss(scores, mask, **options)

    return run


@pytest.fixture(params=[1, 700, 1 << 19])
def strip(request, monkeypatch):
    """Strips of one row, of a part of an image, of several images."""
    monkeypatch.setattr(strips, "_CPU_STRIP_ELEMENTS", request.param)


@pytest.mark.parametrize(("small", "size"), SIZES)
@pytest.mark.parametrize(("loss", "plain", "options"), CASES)
def test_value_and_gradient_equal_a_plain_form(strip, loss, plain, options, small, size):
    if loss is lovasz and size == (33, 54):
        size = (17, 19)  # the plain form is slow
    logits, mask = batch(small, size)
    value, gradient = value_and_gradient(loss, logits, mask, **options)
    expected, expected_gradient = value_and_gradient(upsampled(plain), logits, mask, **options)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)
    largest = expected_gradient.abs().max().item()
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-5 * largest)


LOSSES = [cross_entropy, focal, dice, lovasz]


@pytest.mark.parametrize("loss", LOSSES)
def test_all_ignored_is_zero_with_a_gradient(loss):
    logits, mask = batch()
    value, gradient = value_and_gradient(loss, logits, torch.full_like(mask, 255))
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize("loss", LOSSES)
def test_ignored_pixels_have_no_effect(loss):
    """Logits of the mask's size: those of ignored pixels change neither value nor gradient."""
    logits, mask = batch(small=(9, 8), size=(9, 8))
    ignored = (mask == 255)[:, None].expand_as(logits)
    value, gradient = value_and_gradient(loss, logits, mask)
    changed, changed_gradient = value_and_gradient(loss, logits.where(~ignored, 7.0), mask)
    torch.testing.assert_close(changed, value)
    torch.testing.assert_close(changed_gradient, gradient)
    assert not gradient[ignored].any()


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_logits_are_computed_in_float32_even_under_autocast(loss):
    logits, mask = batch()
    half = logits.bfloat16()
    expected, expected_gradient = value_and_gradient(loss, half.float(), mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, gradient = value_and_gradient(loss, half, mask)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected)
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(gradient.float(), expected_gradient, rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_mask_dtype_does_not_matter(loss, dtype):
    logits, mask = batch()
    assert loss(logits, mask.to(dtype)) == loss(logits, mask)


@pytest.mark.parametrize("loss", LOSSES)
def test_nan_is_not_hidden(loss):
    logits, mask = batch(ignored=0)
    logits[0, :, 3, 3] = torch.nan
    assert loss(logits, mask).isnan()


@pytest.mark.parametrize("loss", LOSSES)
def test_label_outside_the_classes_raises(loss):
    logits, mask = batch()
    mask[0, 0, 0] = 5
    with pytest.raises((IndexError, RuntimeError), match="5"):
        loss(logits, mask)


@pytest.mark.parametrize("loss", LOSSES)
def test_differentiable_once(loss):
    logits, mask = batch()
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(logits, mask), logits, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("spread", [1e-3, 1000.0])
def test_large_and_small_logits_give_finite_gradients(loss, spread):
    logits, mask = batch()
    value, gradient = value_and_gradient(loss, spread * logits, mask)
    assert value.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_no_tensor_is_nearly_as_large_as_the_upsampled_logits(loss, monkeypatch):
    monkeypatch.setattr(strips, "_CPU_STRIP_ELEMENTS", 10_000)
    logits, mask = batch((10, 13), (80, 104), classes=100)
    mask[mask > 5] = 5

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            for value in result if isinstance(result, (tuple, list)) else (result,):
                if isinstance(value, torch.Tensor):
                    size = value.untyped_storage().nbytes() // value.element_size()
                    self.numbers = max(self.numbers, size)
            return result

    with Largest() as ours:
        value_and_gradient(loss, logits, mask)
    assert mask.numel() <= ours.numbers <= mask.numel() * 100 / 8


def test_any_function_of_pixels_can_be_summed():
    logits, mask = batch()

    def squares(scores, target):
        return torch.stack([(scores * (target == k).unsqueeze(1)).square().sum() for k in (0, 1)])

    value, gradient = value_and_gradient(
        lambda x: sum_over_pixels(squares, x, mask).log().sum(), logits
    )
    expected, expected_gradient = value_and_gradient(
        lambda x: upsampled(squares)(x, mask).log().sum(), logits
    )
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-6)


def test_a_perfect_and_a_wrong_prediction_are_at_the_ends_of_the_range():
    mask = torch.tensor([[[0, 1, 2], [2, 1, 0]]])
    right = 60 * F.one_hot(mask, 3).movedim(-1, 1).float()
    for loss in (dice, lovasz):
        assert loss(right, mask).item() == pytest.approx(0, abs=1e-6)
        assert loss(right.roll(1, 1), mask).item() == pytest.approx(1, abs=1e-6)
