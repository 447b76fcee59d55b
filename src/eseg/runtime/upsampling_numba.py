"""Exact upsampling of logits to labels, compiled by Numba; used by `upsampling` if installed.

Importing this module compiles it, or loads what was compiled on this machine before. It runs in
the caller's thread and lets others run meanwhile: Numba's own threads would compete with those of
the engine that runs the network, and most of its threading layers bear only one caller at a time.

The import hook that checks types in tests would wrap these functions in Python, hence
`no_type_check`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import no_type_check

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from eseg.runtime.tiling import TILE_SIDE, Axis

# Fused multiply-add is allowed; assuming that there is no NaN or infinity is not.
_OPTIONS = {"nogil": True, "fastmath": {"contract"}}

_LOWEST = np.float32(-np.inf)
_LOG2_E = np.float32(math.log2(math.e))
_C1, _C2, _C3, _C4, _C5, _C6 = (
    np.float32(math.log(2) ** power / math.factorial(power)) for power in range(1, 7)
)


def write_tiles(
    logits: NDArray[np.float32],
    rows: Axis,
    columns: Axis,
    labels: NDArray[np.uint8],
    confidence: NDArray[np.float32] | None,
) -> None:
    """Fill tiles whose four corners agree, interpolate the others; all with confidence.

    Args:
        logits: (classes, height, width) with any strides.
        rows: The output's height, cut into tiles.
        columns: The output's width, cut into tiles.
        labels: Where the class ids go, C-contiguous.
        confidence: Where their probabilities go, likewise; None where they are not wanted.
    """
    wanted = np.empty((0, 0), np.float32) if confidence is None else confidence
    _kernel(logits, *rows, *columns, labels, wanted)


@njit(**_OPTIONS)
@no_type_check
def _load(logits, y, values, winners, best):
    """Copy a row of inputs to (classes, width), and find the first of the highest classes."""
    best[:] = _LOWEST
    winners[:] = 0
    for class_id in range(values.shape[0]):
        for x in range(values.shape[1]):
            value = logits[class_id, y, x]
            values[class_id, x] = value
            # Choices rather than branches, here and below: loops without branches are vectorised.
            better = value > best[x]
            best[x] = value if better else best[x]
            winners[x] = np.int32(class_id) if better else winners[x]


@njit(**_OPTIONS)
@no_type_check
def _bound(above, below, before, after, highest):
    """Find each class's highest corner, and the level below which the best class never falls."""
    level = _LOWEST
    for class_id in range(highest.size):
        a, b = above[class_id, before], above[class_id, after]
        c, d = below[class_id, before], below[class_id, after]
        highest[class_id] = max(max(a, b), max(c, d))
        level = max(level, min(min(a, b), min(c, d)))
    return level


@njit(**_OPTIONS)
@no_type_check
def _find_best(above, below, before, after, highest, level, down, across, area, best, ids):
    """Interpolate the classes that can win, and keep the first of the highest at every pixel."""
    best[:area] = _LOWEST
    ids[:area] = 0
    for class_id in range(highest.size):
        if highest[class_id] < level:
            continue
        corner = above[class_id, before]
        right, low = above[class_id, after] - corner, below[class_id, before] - corner
        twist = below[class_id, after] - below[class_id, before] - right
        winner = np.int32(class_id)
        for pixel in range(area):
            value = corner + down[pixel] * low + across[pixel] * (right + down[pixel] * twist)
            better = value > best[pixel]
            best[pixel] = value if better else best[pixel]
            ids[pixel] = winner if better else ids[pixel]


@njit(**_OPTIONS)
@no_type_check
def _sum_exp(above, below, before, after, down, across, area, best, total):
    """Interpolate every class, and add up exp(logit - highest logit) at every pixel."""
    total[:area] = 0
    for class_id in range(above.shape[0]):
        corner = above[class_id, before]
        right, low = above[class_id, after] - corner, below[class_id, before] - corner
        twist = below[class_id, after] - below[class_id, before] - right
        for pixel in range(area):
            value = corner + down[pixel] * low + across[pixel] * (right + down[pixel] * twist)
            total[pixel] += _exp(value - best[pixel])


@njit(**_OPTIONS)
@no_type_check
def _exp(x):
    """Compute the exponential of a number up to about 0, to 2e-7, in a form that can be vectorised.

    2^n is put together from its bits; 2^f, |f| <= 1/2, is its Taylor series.
    """
    power = max(x, np.float32(-87)) * _LOG2_E  # below, a float32 has no normal number left
    whole = np.int32(power - np.float32(0.5))
    f = power - np.float32(whole)
    series = _C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * _C6))))
    bits = np.int32((whole + np.int32(127)) << np.int32(23))  # Numba made it an int64
    return (np.float32(1) + f * series) * bits.view(np.float32)


@no_type_check
def _fill(logits, row_tiles, row_share, column_tiles, column_share, labels, confidence):
    """Go through the tiles from top to bottom; `confidence` is empty where it is not wanted."""
    classes, _, width = logits.shape
    above = np.empty((classes, width), np.float32)  # logits of the row above the tiles
    below = np.empty((classes, width), np.float32)
    winners_above = np.empty(width, np.int32)
    winners_below = np.empty(width, np.int32)
    row_best = np.empty(width, np.float32)
    highest = np.empty(classes, np.float32)
    down = np.empty(TILE_SIDE * TILE_SIDE, np.float32)
    across = np.empty(TILE_SIDE * TILE_SIDE, np.float32)
    best = np.empty(TILE_SIDE * TILE_SIDE, np.float32)
    total = np.empty(TILE_SIDE * TILE_SIDE, np.float32)
    ids = np.empty(TILE_SIDE * TILE_SIDE, np.int32)
    held_above = held_below = -1
    for row in range(row_tiles.shape[1]):
        row_above, row_below, top, bottom = row_tiles[:, row]
        if held_above != row_above:  # Usually what was below until now.
            above, below = below, above
            winners_above, winners_below = winners_below, winners_above
            held_above, held_below = held_below, held_above
        if held_above != row_above:
            _load(logits, row_above, above, winners_above, row_best)
            held_above = row_above
        if held_below != row_below:
            _load(logits, row_below, below, winners_below, row_best)
            held_below = row_below

        for column in range(column_tiles.shape[1]):
            winner = winners_above[column_tiles[0, column]]
            for x in range(column_tiles[2, column], column_tiles[3, column]):
                labels[top, x] = winner
        for y in range(top + 1, bottom):
            labels[y] = labels[top]

        for column in range(column_tiles.shape[1]):
            before, after, left, right = column_tiles[:, column]
            winner = winners_above[before]
            on_border = (
                winners_above[after] != winner
                or winners_below[before] != winner
                or winners_below[after] != winner
            )
            if not on_border and not confidence.size:
                continue
            area = 0
            for y in range(top, bottom):
                for x in range(left, right):
                    down[area], across[area] = row_share[y], column_share[x]
                    area += 1
            level = _bound(above, below, before, after, highest)
            _find_best(above, below, before, after, highest, level, down, across, area, best, ids)
            if on_border:
                pixel = 0
                for y in range(top, bottom):
                    for x in range(left, right):
                        labels[y, x] = ids[pixel]
                        pixel += 1
            if confidence.size:
                _sum_exp(above, below, before, after, down, across, area, best, total)
                pixel = 0
                for y in range(top, bottom):
                    for x in range(left, right):
                        confidence[y, x] = np.float32(1) / total[pixel]
                        pixel += 1


def _compile() -> Callable[..., None]:
    """Compile for arrays of any strides in, and contiguous ones out, so once only."""
    tiles = types.Array(types.int32, 2, "C", readonly=True)
    share = types.Array(types.float32, 1, "C", readonly=True)
    signature = types.void(
        types.Array(types.float32, 3, "A", readonly=True),
        *(tiles, share),
        *(tiles, share),
        types.Array(types.uint8, 2, "C"),
        types.Array(types.float32, 2, "C"),
    )
    try:
        return njit(signature, cache=True, **_OPTIONS)(_fill)
    except Exception:  # no folder to keep it in, a full disk, a damaged file: it runs without
        return njit(signature, **_OPTIONS)(_fill)


_kernel = _compile()
