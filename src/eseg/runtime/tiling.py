"""Tiles of an upsampled map: runs of pixels between the same inputs, by half-pixel positions."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TILE_SIDE = 16
"""Longest side of a tile in pixels; it bounds the memory that a single one takes."""


class Axis(NamedTuple):
    """One side of the output, cut into tiles: runs of pixels between the same two inputs.

    Attributes:
        tiles: int32 (4, tiles): the input before, the one after (both are the same beyond the
            centre of the outermost), the first pixel, and the one behind the last.
        share: float32 (pixels,): weight in [0, 1) of the input after each pixel.
    """

    tiles: NDArray[np.int32]
    share: NDArray[np.float32]


def half_pixel_positions(
    inputs: int, outputs: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Find the two inputs between whose centres the centre of each output lies.

    They are computed in float32 and by the same formula as torch's own interpolation with
    `align_corners=False`, which repeats the border.

    Args:
        inputs: Cells along one side, at least 1.
        outputs: Pixels along that side, at least 1.

    Returns:
        The input before each output, -1 before the first input's centre, and the weight in [0, 1)
        of the input after it, 0 beyond the centre of the outermost.
    """
    scale, half = np.float32(inputs / outputs), np.float32(0.5)
    position = (np.arange(outputs, dtype=np.float32) + half) * scale - half
    cell = np.floor(position).astype(np.int32)
    inside = (cell >= 0) & (cell < inputs - 1)
    return cell, np.where(inside, position - cell.astype(np.float32), np.float32(0))


@functools.lru_cache(maxsize=16)
def cut_axis(inputs: int, outputs: int) -> Axis:
    """Cut one side of the output into tiles, the same for every image of this size."""
    cell, share = half_pixel_positions(inputs, outputs)
    offset = np.arange(outputs) - np.searchsorted(cell, cell)
    start = np.flatnonzero(offset % TILE_SIDE == 0)
    stop = np.append(start[1:], outputs)
    before, after = np.maximum(cell[start], 0), np.minimum(cell[start] + 1, inputs - 1)
    tiles = np.array([before, after, start, stop], np.int32)
    for array in (tiles, share):
        array.flags.writeable = False
    return Axis(tiles, share)
