"""Strips against torch's own interpolation, there and back."""

import pytest
import torch
import torch.nn.functional as F

from eseg.losses.strips import BilinearStrips

CHANNELS = 3


def upsample(maps, size, elements):
    """All strips together; also what they make of a gradient."""
    strips = BilinearStrips(maps.shape, size, elements, maps.device)
    whole = torch.full((len(maps), size[0], CHANNELS, size[1]), torch.nan)
    for images in strips.images:
        wide = strips.widen(maps[images])
        for rows in strips.rows:
            whole[images, rows] = strips.blend(wide, rows)

    def back(gradient):
        parts = []
        for images in strips.images:
            wide_gradient = torch.zeros(len(maps[images]), maps.shape[1], CHANNELS, size[1])
            for rows in strips.rows:
                strips.blend_backward(gradient[images, rows], rows, wide_gradient)
            part = maps[images].detach().requires_grad_()
            parts += torch.autograd.grad(strips.widen(part), part, wide_gradient)
        return torch.cat(parts)

    return whole, back


@pytest.mark.parametrize("elements", [1, 200, 1000, 10**6])
@pytest.mark.parametrize(
    ("small", "size"),
    [
        ((4, 8), (32, 64)),
        ((5, 7), (33, 54)),
        ((7, 5), (26, 41)),
        ((1, 1), (5, 3)),
        ((6, 6), (6, 6)),
        ((3, 1), (3, 17)),
        ((20, 31), (7, 9)),
        ((9, 2), (1, 13)),
    ],
)
def test_strips_are_bilinear_interpolation(small, size, elements):
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, small[0], CHANNELS, small[1], generator=generator)
    whole, back = upsample(maps, size, elements)
    reference = maps.transpose(1, 2).requires_grad_()
    expected = F.interpolate(reference, size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(whole.transpose(1, 2), expected.detach(), rtol=1e-5, atol=2e-6)

    gradient = torch.randn(whole.shape, generator=generator)
    expected.backward(gradient.transpose(1, 2))
    assert reference.grad is not None
    torch.testing.assert_close(back(gradient), reference.grad.transpose(1, 2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("elements", [1, 100, 5000, 10**6])
def test_strips_cover_everything_once_and_keep_their_size(elements):
    batch, height, width = 5, 19, 23
    strips = BilinearStrips(
        torch.Size((batch, 4, CHANNELS, 6)), (height, width), elements, torch.device("cpu")
    )
    seen = torch.zeros(batch, height, dtype=torch.long)
    for images in strips.images:
        for rows in strips.rows:
            seen[images, rows] += 1
            numbers = seen[images, rows].numel() * CHANNELS * width
            assert numbers <= max(elements, CHANNELS * width)
    assert (seen == 1).all()
