"""Averaging over sizes and mirror images, against a slow formulation with torchvision and NumPy."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as vision

from eseg.inference.labelling import averaged_probs

SIZES = [(33, 47), (64, 96), (1, 10), (7, 5)]


@pytest.fixture(scope="module")
def image():
    return torch.rand(2, 3, 33, 47, generator=torch.Generator().manual_seed(0))


def resized(x, size):
    return vision.resize(x, list(size), antialias=True)


def slow_average(model, image, scales, flip):
    """Each size and orientation on its own; the mean in float64."""
    height, width = image.shape[-2:]
    maps = []
    for scale in scales:
        for mirrored in [False, True][: 1 + flip]:
            pixels = np.flip(image.numpy(), 3).copy() if mirrored else image.numpy()
            size = (max(1, round(height * scale)), max(1, round(width * scale)))
            logits = model.logits(resized(torch.from_numpy(pixels), size))
            probs = resized(logits, (height, width)).double().softmax(1).numpy()
            maps.append(np.flip(probs, 3) if mirrored else probs)
    return np.mean(maps, axis=0)


@torch.no_grad()
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("scales", "flip"), [((1.0,), True), ((0.5, 1.0, 2.0), False), ((0.5, 0.75, 1.5), True)]
)
def test_equal_to_the_slow_formulation(toy_model, image, size, scales, flip):
    image = resized(image, size)
    ours = averaged_probs(toy_model, image, scales, flip)
    assert ours.shape == (2, 3, *size)
    np.testing.assert_allclose(
        ours.numpy(), slow_average(toy_model, image, scales, flip), atol=2e-5
    )


@torch.no_grad()
@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 2.0)])
def test_the_mirror_image_gives_the_mirror_result(toy_model, image, scales):
    straight = averaged_probs(toy_model, image, scales, True)
    mirrored = averaged_probs(toy_model, image.flip(-1), scales, True)
    torch.testing.assert_close(mirrored.flip(-1), straight, atol=2e-5, rtol=0)
    # The network alone is not that way, so the test can fail.
    alone = averaged_probs(toy_model, image, scales, False)
    assert (
        averaged_probs(toy_model, image.flip(-1), scales, False).flip(-1) - alone
    ).abs().max() > 1e-3


@torch.no_grad()
def test_probabilities_sum_to_one(toy_model, image):
    probs = averaged_probs(toy_model, image, (0.5, 2.0), True)
    torch.testing.assert_close(probs.sum(1), torch.ones(2, 33, 47))
    assert probs.min() >= 0


@pytest.mark.parametrize("scales", [(), (0.0, 1.0), (-1.0,)])
def test_scales_that_mean_nothing_are_refused(toy_model, image, scales):
    with pytest.raises(ValueError, match="factors above 0"):
        averaged_probs(toy_model, image, scales, False)
