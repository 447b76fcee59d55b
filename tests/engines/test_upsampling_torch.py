"""Labels and averages from tensors against the plain form that holds everything at once."""

import math

import pytest
import torch
import torch.nn.functional as F

from eseg.engines import upsampling_torch
from eseg.engines.upsampling_torch import mean_probs, upsample_labels
from eseg.runtime import upsampling

CASES = [
    ((2, 5, 12, 16), (48, 64)),
    ((1, 19, 33, 47), (131, 187)),
    ((1, 11, 45, 60), (360, 480)),
    ((3, 2, 7, 5), (7, 5)),
    ((1, 4, 40, 30), (13, 17)),
    ((1, 4, 40, 3), (9, 50)),
    ((2, 3, 1, 1), (5, 9)),
    ((1, 6, 1, 8), (1, 64)),
    ((1, 6, 9, 8), (1, 1)),
]


def plain(logits, size):
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)


def use_strips(monkeypatch, elements):
    """What other devices than a CPU get, in strips of so many logits."""
    monkeypatch.setattr(upsampling_torch, "_write_tiles", upsampling_torch._write_strips)
    monkeypatch.setattr(upsampling_torch, "_STRIP_ELEMENTS", elements)


@pytest.fixture(params=["numba", "numpy", 1, 2000, 1 << 20])
def form(request, monkeypatch):
    """With Numba, without, and in strips of a row, of a few rows, and of everything."""
    if request.param == "numpy":
        monkeypatch.setattr(upsampling, "_compiled", lambda: None)
    elif request.param != "numba":
        use_strips(monkeypatch, request.param)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("shape", "size"), CASES)
def test_equal_to_interpolation_and_argmax(shape, size, memory_format):
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    expected = plain(logits, size)
    logits = logits.to(memory_format=memory_format)
    labels, confidence = upsample_labels(logits, size, with_confidence=True)
    assert labels.shape == (shape[0], *size)
    assert (labels != expected.argmax(1)).float().mean() <= 1e-5
    torch.testing.assert_close(confidence, expected.softmax(1).amax(1))
    alone, nothing = upsample_labels(logits, size)
    assert torch.equal(alone, labels)
    assert nothing is None


@pytest.mark.usefixtures("form")
def test_half_precision_logits_are_upsampled_in_float32():
    logits = torch.randn(1, 7, 11, 13, generator=torch.Generator().manual_seed(3)).bfloat16()
    labels, confidence = upsample_labels(logits, (44, 52), with_confidence=True)
    expected = plain(logits.float(), (44, 52))
    assert torch.equal(labels, expected.argmax(1).byte())
    torch.testing.assert_close(confidence, expected.softmax(1).amax(1))


def test_strips_of_many_sizes_agree_to_one_pixel_in_a_hundred_thousand(monkeypatch):
    use_strips(monkeypatch, 2000)
    generator = torch.Generator().manual_seed(2)
    wrong = total = 0
    for _ in range(60):
        h, w = torch.randint(1, 40, (2,), generator=generator).tolist()
        size = tuple(torch.randint(1, 220, (2,), generator=generator).tolist())
        logits = torch.randn(1, 7, h, w, generator=generator)
        wrong += (upsample_labels(logits, size)[0] != plain(logits, size).argmax(1)).sum().item()
        total += size[0] * size[1]
    assert wrong <= 1e-5 * total


def test_strips_never_hold_full_size_logits(monkeypatch):
    use_strips(monkeypatch, 10_000)
    held = []
    interpolate = F.interpolate

    def recording(*args, **kwargs):
        result = interpolate(*args, **kwargs)
        held.append(result.numel())
        return result

    monkeypatch.setattr(upsampling_torch.F, "interpolate", recording)
    upsample_labels(torch.zeros(1, 19, 16, 32), (128, 256))
    assert max(held) <= 10_000
    assert sum(held) == 19 * 128 * 256


@pytest.mark.usefixtures("form")
def test_the_graph_is_not_kept():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    _, confidence = upsample_labels(logits, (8, 8), with_confidence=True)
    assert not confidence.requires_grad


def test_logits_made_in_inference_mode_are_taken():
    with torch.inference_mode():
        logits = torch.ones(1, 3, 4, 4).cumsum(1)
        labels, _ = upsample_labels(logits, (8, 8))
    assert (labels == 2).all()


@pytest.mark.usefixtures("form")
def test_more_classes_than_a_byte_holds_are_refused():
    with pytest.raises(ValueError, match="255 classes, not 256"):
        upsample_labels(torch.zeros(1, 256, 2, 2), (4, 4))


SIZES = [(33, 47), (64, 96), (1, 10), (7, 5)]


@pytest.fixture
def maps():
    """Logits of two images at three sizes."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, *size, generator=generator) for size in ((5, 6), (9, 12), (17, 3))]


def averaged(maps, size):
    """All strips, which have to come in order and without a gap."""
    strips = list(mean_probs(maps, size))
    starts = [rows.start for rows, _ in strips]
    assert starts == [0, *(rows.stop for rows, _ in strips[:-1])]
    assert all(probs.shape[2] == rows.stop - rows.start for rows, probs in strips)
    return torch.cat([probs for _, probs in strips], dim=2)


@pytest.mark.parametrize("size", SIZES)
def test_the_average_is_that_of_full_size_probabilities(maps, size):
    probs = averaged(maps, size)
    assert probs.shape == (2, 3, *size)
    expected = torch.stack([plain(logits.double(), size).softmax(1) for logits in maps]).mean(0)
    torch.testing.assert_close(probs, expected.float(), atol=2e-5, rtol=0)
    torch.testing.assert_close(probs.sum(1), torch.ones(2, *size))
    assert probs.min() >= 0


@pytest.mark.parametrize("limit", [1, 600])
def test_strips_of_averages_stay_small_and_give_the_same(maps, monkeypatch, limit):
    whole = averaged(maps, (33, 47))
    monkeypatch.setattr(upsampling_torch, "_STRIP_ELEMENTS", limit)
    strips = list(mean_probs(maps, (33, 47)))
    row = 2 * 3 * 47
    assert max(probs.numel() for _, probs in strips) <= max(limit, row)
    assert len(strips) == math.ceil(33 / max(1, limit // row))
    torch.testing.assert_close(torch.cat([p for _, p in strips], 2), whole, atol=1e-6, rtol=0)


def test_low_precision_is_averaged_in_float32(maps):
    probs = averaged([logits.bfloat16() for logits in maps], (33, 47))
    assert probs.dtype == torch.float32
    rounded = averaged([logits.bfloat16().float() for logits in maps], (33, 47))
    torch.testing.assert_close(probs, rounded)
    assert not torch.equal(probs, probs.bfloat16().float())
