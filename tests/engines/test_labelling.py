"""Averaging over sizes and mirror images, against a slow formulation with torchvision and NumPy."""

import math

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as vision
from eseg.engines.labelling import averaged_probs, label_images

from eseg.data.transforms import ResizeConfig
from eseg.engines import labelling

SIZES = [(33, 47), (64, 96), (1, 10), (7, 5)]


@pytest.fixture(scope="module")
def image():
    return torch.rand(2, 3, 33, 47, generator=torch.Generator().manual_seed(0))


def resized(x, size):
    return vision.resize(x, list(size), antialias=True)


def averaged(model, image, scales, flip, resize=None):
    """All strips, which have to come in order and without a gap."""
    strips = list(averaged_probs(model, image, scales, flip, resize))
    starts = [rows.start for rows, _ in strips]
    assert starts == [0, *(rows.stop for rows, _ in strips[:-1])]
    assert all(probs.shape[2] == rows.stop - rows.start for rows, probs in strips)
    return torch.cat([probs for _, probs in strips], dim=2)


def slow_average(model, image, scales, flip, base=None):
    """Each size and orientation on its own; the mean in float64 at the image's size."""
    full = image.shape[-2:]
    image = image if base is None else resized(image, base)
    height, width = image.shape[-2:]
    maps = []
    for scale in scales:
        for mirrored in [False, True][: 1 + flip]:
            pixels = np.flip(image.numpy(), 3).copy() if mirrored else image.numpy()
            size = (max(1, round(height * scale)), max(1, round(width * scale)))
            logits = model.logits(resized(torch.from_numpy(pixels), size))
            probs = resized(logits, full).double().softmax(1).numpy()
            maps.append(np.flip(probs, 3) if mirrored else probs)
    return np.mean(maps, axis=0)


@torch.no_grad()
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("scales", "flip"), [((1.0,), True), ((0.5, 1.0, 2.0), False), ((0.5, 0.75, 1.5), True)]
)
def test_equal_to_the_slow_formulation(toy_model, image, size, scales, flip):
    image = resized(image, size)
    ours = averaged(toy_model, image, scales, flip)
    assert ours.shape == (2, 3, *size)
    np.testing.assert_allclose(
        ours.numpy(), slow_average(toy_model, image, scales, flip), atol=2e-5
    )


@torch.no_grad()
@pytest.mark.parametrize(
    ("resize", "base"),
    [(ResizeConfig(shorter_side=21), (21, 30)), (ResizeConfig(longer_side=94), (66, 94))],
)
def test_resized_first_and_labelled_at_the_own_size(toy_model, image, resize, base):
    size, small = (33, 47), resized(image, base)
    labels, confidence = label_images(toy_model, image, resize=resize, with_confidence=True)
    probs = resized(toy_model.logits(small), size).softmax(1)
    assert labels.shape == (2, *size)
    assert (labels == probs.argmax(1)).float().mean() > 0.999
    torch.testing.assert_close(confidence, probs.amax(1), atol=1e-4, rtol=0)
    assert torch.equal(labels, label_images(toy_model, image, resize=resize)[0])
    _, plain = label_images(toy_model, image, with_confidence=True)
    assert (confidence - plain).abs().max() > 0.01

    ours = averaged(toy_model, image, (0.5, 1.5), True, resize)
    slow = slow_average(toy_model, image, (0.5, 1.5), True, base)
    np.testing.assert_allclose(ours.numpy(), slow, atol=2e-5)


@torch.no_grad()
@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 2.0)])
def test_the_mirror_image_gives_the_mirror_result(toy_model, image, scales):
    straight = averaged(toy_model, image, scales, True)
    mirrored = averaged(toy_model, image.flip(-1), scales, True)
    torch.testing.assert_close(mirrored.flip(-1), straight, atol=2e-5, rtol=0)
    # The network alone is not that way, so the test can fail.
    alone = averaged(toy_model, image, scales, False)
    flipped = averaged(toy_model, image.flip(-1), scales, False).flip(-1)
    assert (flipped - alone).abs().max() > 1e-3


@torch.no_grad()
def test_probabilities_sum_to_one(toy_model, image):
    probs = averaged(toy_model, image, (0.5, 2.0), True)
    torch.testing.assert_close(probs.sum(1), torch.ones(2, 33, 47))
    assert probs.min() >= 0


@pytest.mark.parametrize("scales", [(), (0.0, 1.0), (-1.0,)])
def test_scales_that_mean_nothing_are_refused(toy_model, image, scales):
    with pytest.raises(ValueError, match="factors above 0"):
        averaged(toy_model, image, scales, False)


@torch.no_grad()
@pytest.mark.parametrize("limit", [1, 600])
def test_strips_stay_small_and_give_the_same(toy_model, image, monkeypatch, limit):
    whole = averaged(toy_model, image, (0.5, 1.0), True)
    labels, confidence = label_images(
        toy_model, image, scales=(0.5, 1.0), flip=True, with_confidence=True
    )
    monkeypatch.setattr(labelling, "_STRIP_ELEMENTS", limit)
    strips = list(averaged_probs(toy_model, image, (0.5, 1.0), True))
    row = 2 * 3 * 47
    assert max(probs.numel() for _, probs in strips) <= max(limit, row)
    assert len(strips) == math.ceil(33 / max(1, limit // row))
    torch.testing.assert_close(torch.cat([p for _, p in strips], 2), whole, atol=1e-6, rtol=0)
    assert torch.equal(labels.long(), whole.argmax(1))
    torch.testing.assert_close(confidence, whole.amax(1), atol=0, rtol=0)


@torch.no_grad()
def test_low_precision_is_averaged_in_fp32(toy_model, image):
    options = {"scales": (0.5, 1.0), "flip": True, "with_confidence": True}
    _, confidence = label_images(toy_model, image, dtype=torch.bfloat16, **options)
    assert confidence.dtype == torch.float32
    _, exact = label_images(toy_model, image, **options)
    torch.testing.assert_close(confidence, exact, atol=0.03, rtol=0)
    assert not torch.equal(confidence, confidence.bfloat16().float())
