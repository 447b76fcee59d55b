"""The hard-pixel loss of small logits against its plain form on upsampled logits."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from eseg.losses import strips
from eseg.losses.ohem import ohem_cross_entropy, pixel_weights


def batch(classes=5, small=(5, 7), size=(36, 51), images=2, seed=0, ignored=0.2):
    """Small logits, and a mask that they agree with about half of the time."""
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(images, classes, *small, generator=generator)
    mask = F.interpolate(logits.argmax(1)[None].double(), size)[0].long()
    noise = torch.randint(0, classes, mask.shape, generator=generator)
    mask = mask.where(torch.rand(mask.shape, generator=generator) < 0.5, noise)
    mask[torch.rand(mask.shape, generator=generator) < ignored] = 255
    return logits, mask


def upsample(logits, size):
    return F.interpolate(logits.float(), size, mode="bilinear", align_corners=False)


def plain(logits, mask, threshold=0.7, min_kept=1 / 16, class_weights=None):
    scores = upsample(logits, mask.shape[1:])
    loss = F.cross_entropy(scores, mask, ignore_index=255, reduction="none")
    counted = pixel_weights(loss.detach(), mask, mask != 255, threshold, min_kept, class_weights)
    return (loss * counted).sum() / counted.sum()


def value_and_gradient(loss, logits, mask, **rule):
    logits = logits.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    value = loss(logits, mask, **rule)
    value.backward()
    assert logits.grad is not None
    return value.detach(), logits.grad


def assert_same(logits, mask, **rule):
    value, gradient = value_and_gradient(ohem_cross_entropy, logits, mask, **rule)
    expected, expected_gradient = value_and_gradient(plain, logits, mask, **rule)
    torch.testing.assert_close(value, expected, rtol=2e-6, atol=1e-7)
    largest = expected_gradient.abs().max().item()
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=3e-6 * largest)


@pytest.fixture(params=[1, 700, 1 << 19])
def strip(request, monkeypatch):
    """Strips of one row, of a part of an image, of several images."""
    monkeypatch.setattr(strips, "_CPU_STRIP_ELEMENTS", request.param)


@pytest.mark.parametrize(
    ("small", "size"),
    [
        ((4, 6), (32, 48)),
        ((5, 7), (33, 54)),
        ((1, 1), (5, 3)),
        ((6, 6), (6, 6)),
        ((12, 13), (5, 9)),
    ],
)
@pytest.mark.parametrize("classes", [1, 2, 11, 150])
def test_equals_the_plain_form_at_any_ratio(strip, classes, small, size):
    assert_same(*batch(classes, small, size))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("threshold", "min_kept"), [(0.7, 1 / 16), (0.3, 1 / 64), (0.01, 1 / 4), (1.0, 1.0), (0.5, 1.0)]
)
def test_equals_the_plain_form_by_any_rule(strip, threshold, min_kept, weighted):
    weight = torch.tensor([0.5, 1.0, 2.0, 4.0, 0.1]) if weighted else None
    assert_same(*batch(), threshold=threshold, min_kept=min_kept, class_weights=weight)


def test_equals_the_plain_form_at_real_size():
    logits, mask = batch(19, (46, 101), (361, 803))
    # Among so many pixels there are some that rounding takes over the threshold.
    upsampled = upsample(logits, mask.shape[1:])
    losses = F.cross_entropy(upsampled, mask, ignore_index=255, reduction="none")
    mask[(losses + math.log(0.7)).abs() < 1e-4] = 255
    assert_same(logits, mask)


def test_equals_the_plain_form_at_real_size_in_many_classes():
    assert_same(*batch(150, (65, 65), (520, 520), images=1), min_kept=1.0)


@pytest.mark.parametrize("spread", [1e-3, 30.0, 1000.0])
def test_large_and_small_logits(spread):
    logits, mask = batch(ignored=0)
    assert_same(spread * logits, mask, min_kept=1.0)


def test_channels_last_logits_get_a_gradient_of_their_layout():
    logits, mask = batch()
    turned = logits.contiguous(memory_format=torch.channels_last)
    expected = value_and_gradient(ohem_cross_entropy, logits, mask)
    value, gradient = value_and_gradient(ohem_cross_entropy, turned, mask)
    assert value == expected[0]
    assert torch.equal(gradient, expected[1])
    assert gradient.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_in_float32_even_under_autocast(dtype):
    logits, mask = batch()
    half = logits.to(dtype)
    expected, expected_gradient = value_and_gradient(ohem_cross_entropy, half.float(), mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, gradient = value_and_gradient(ohem_cross_entropy, half, mask)
    assert value.dtype == torch.float32
    assert value == expected
    assert gradient.dtype == dtype
    assert torch.equal(gradient, expected_gradient.to(dtype))


def test_scaled_before_rounding_so_that_fp16_gradients_survive():
    logits, mask = batch(size=(200, 300))
    tiny = 2.0**-30
    half, single = logits.half().requires_grad_(), logits.half().float().requires_grad_()
    (ohem_cross_entropy(half, mask) * tiny * 2.0**40).backward()
    ohem_cross_entropy(single, mask).backward()
    assert half.grad is not None
    assert single.grad is not None
    assert torch.equal(half.grad, (single.grad * 2.0**10).half())


def test_all_ignored_is_zero_with_a_gradient():
    logits, mask = batch(ignored=1.1)
    for rule in ({}, {"min_kept": 1.0}):
        value, gradient = value_and_gradient(ohem_cross_entropy, logits, mask, **rule)
        assert value == 0
        assert not gradient.any()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_mask_dtype_does_not_matter_and_the_mask_stays_as_it_is(dtype):
    logits, mask = batch()
    given = mask.to(dtype)
    value = ohem_cross_entropy(logits, given)
    assert value == ohem_cross_entropy(logits, mask)
    assert torch.equal(given, mask.to(dtype))


def test_another_ignore_index():
    logits, mask = batch()
    value = ohem_cross_entropy(logits, mask.where(mask != 255, -100), ignore_index=-100)
    assert value == ohem_cross_entropy(logits, mask)


def test_nan_is_not_hidden():
    logits, mask = batch(ignored=0)
    logits[0, :, 3, 3] = math.nan
    value, gradient = value_and_gradient(ohem_cross_entropy, logits, mask)
    assert value.isnan()
    assert gradient[0, :, 3, 3].isnan().all()
    assert ohem_cross_entropy(logits, torch.full_like(mask, 255)) == 0


def test_label_outside_the_classes_raises():
    logits, mask = batch(classes=5)
    mask[0, 0, 0] = 5
    with pytest.raises((IndexError, RuntimeError), match="5"):
        ohem_cross_entropy(logits, mask)


def test_every_run_gives_the_same_bits():
    logits, mask = batch(19, (20, 33), (160, 264))
    first, again = (value_and_gradient(ohem_cross_entropy, logits, mask) for _ in range(2))
    assert first[0] == again[0]
    assert torch.equal(first[1], again[1])


def test_differentiable_once():
    logits, mask = batch()
    logits.requires_grad_()
    value = ohem_cross_entropy(logits, mask)
    (gradient,) = torch.autograd.grad(value, logits, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_no_tensor_is_nearly_as_large_as_the_upsampled_logits(monkeypatch):
    monkeypatch.setattr(strips, "_CPU_STRIP_ELEMENTS", 10_000)
    logits, mask = batch(100, (10, 13), (80, 104))

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
        value_and_gradient(ohem_cross_entropy, logits, mask)
    with Largest() as others:
        value_and_gradient(plain, logits, mask)
    full = mask.numel() * 100
    assert others.numbers == full  # it does see them
    assert ours.numbers <= full / 8


def test_nothing_branches_on_values():
    # A tensor without values raises wherever one would be read: a wait on a GPU.
    logits, mask = batch()
    value, gradient = value_and_gradient(
        ohem_cross_entropy,
        logits.to("meta"),
        mask.to("meta"),
        class_weights=torch.ones(5).to("meta"),
    )
    assert value.shape == ()
    assert gradient.shape == logits.shape
