"""Positions and tiles of an upsampled map."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from eseg.runtime.tiling import TILE_SIDE, cut_axis, half_pixel_positions

SIDES = [
    (1, 1),
    (1, 7),
    (7, 1),
    (5, 5),
    (5, 40),
    (47, 187),
    (33, 1025),
    (40, 13),
    (64, 16),
    (187, 47),
]


@pytest.mark.parametrize(("inputs", "outputs"), SIDES)
def test_positions_are_those_of_torch(inputs, outputs):
    cell, share = half_pixel_positions(inputs, outputs)
    assert cell.shape == share.shape == (outputs,)
    assert -1 <= cell.min() <= cell.max() <= inputs - 1
    assert (np.diff(cell) >= 0).all()
    assert 0 <= share.min() <= share.max() < 1
    before, after = cell.clip(min=0), (cell + 1).clip(max=inputs - 1)
    ramp = np.arange(inputs, dtype=np.float32)
    for values in (ramp, np.random.default_rng(0).standard_normal(inputs, np.float32)):
        line = torch.from_numpy(values)[None, None]
        expected = F.interpolate(line, outputs, mode="linear", align_corners=False)[0, 0].numpy()
        ours = values[before] + share * (values[after] - values[before])
        np.testing.assert_allclose(ours, expected, atol=2e-5)


@pytest.mark.parametrize(("inputs", "outputs"), SIDES)
def test_tiles_are_runs_between_the_same_two_inputs(inputs, outputs):
    axis, (cell, share) = cut_axis(inputs, outputs), half_pixel_positions(inputs, outputs)
    before, after, start, stop = axis.tiles
    np.testing.assert_array_equal(start, [0, *stop[:-1]])
    assert stop[-1] == outputs
    assert 1 <= (stop - start).min() <= (stop - start).max() <= TILE_SIDE
    np.testing.assert_array_equal(np.repeat(before, stop - start), cell.clip(min=0))
    np.testing.assert_array_equal(np.repeat(after, stop - start), (cell + 1).clip(max=inputs - 1))
    np.testing.assert_array_equal(axis.share, share)
