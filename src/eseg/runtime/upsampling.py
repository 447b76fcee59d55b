"""Exact upsampling of logits to labels by NumPy, and faster where Numba is installed.

A pixel's label is the class whose logit is the largest after bilinear upsampling. Between four
neighbouring logits with the same winner, that class wins everywhere: interpolation is an average,
and averages keep the order. So most of a label map is filled in, and only tiles on the borders
between classes are interpolated. There, a class that nowhere reaches the level below which another
never falls cannot win either, and is left out. Full-size logits are never held.

Nothing but NumPy is imported here. Numba is looked for at the first use and then compiles
`upsampling_numba`, once per machine where there is a folder to keep the result in. All work is done
in the caller's thread, so it takes no core from an engine that runs the network.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eseg.runtime.class_table import MAX_CLASSES
from eseg.runtime.tiling import Axis, cut_axis

_CHUNK_LOGITS = 1 << 16
"""Classes x tiles whose corners are looked at together."""

_BLOCK_PIXELS = 1 << 15
"""Pixels interpolated together: 128 KB in float32, so that a few such arrays stay in the cache."""

_CROWDED = 0.5
"""Share of border tiles above which everything is interpolated; trained networks stay far below."""


def upsample_labels(logits: NDArray[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Find the most probable class of every pixel at another size.

    Equal to bilinear interpolation with `align_corners=False`, at any ratio, downwards too, and
    argmax, up to the order of rounding. NaN never wins.

    Args:
        logits: Unnormalised scores, (classes, height, width) with any strides; computed in float32
            whatever their dtype.
        size: Wanted (height, width) in pixels, each at least 1.

    Returns:
        Class ids in [0, classes), (height, width).

    Raises:
        ValueError: The logits are not three-dimensional, something is empty, or there are more
            classes than 8-bit labels can hold.
    """
    labels = np.empty(size, np.uint8)
    write_labels(logits, labels)
    return labels


def upsample_labels_with_confidence(
    logits: NDArray[Any], size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Find the labels as `upsample_labels` does, and the probability of each.

    This takes several times as long as the labels alone: every class counts at every pixel.

    Args:
        logits: As above.
        size: As above.

    Returns:
        Class ids, and the softmax probability of that class, in (0, 1]; both (height, width).

    Raises:
        ValueError: As above.
    """
    labels, confidence = np.empty(size, np.uint8), np.empty(size, np.float32)
    write_labels(logits, labels, confidence)
    return labels, confidence


def write_labels(
    logits: NDArray[Any], labels: NDArray[np.uint8], confidence: NDArray[np.float32] | None = None
) -> None:
    """Write what the functions above return into the caller's memory.

    Args:
        logits: Unnormalised scores, (classes, height, width) with any strides.
        labels: Where the class ids go: C-contiguous, of the wanted size.
        confidence: Where their probabilities go, likewise; None where they are not wanted.

    Raises:
        ValueError: As above.
    """
    if logits.ndim != 3 or not logits.size or not labels.size:
        raise ValueError(
            "upsampling takes (classes, height, width) to (height, width), each at least 1, "
            f"not {logits.shape} to {labels.shape}"
        )
    classes, height, width = logits.shape
    if classes > MAX_CLASSES:
        raise ValueError(f"labels are 8-bit: at most {MAX_CLASSES} classes, not {classes}")
    rows, columns = cut_axis(height, labels.shape[0]), cut_axis(width, labels.shape[1])
    write = _compiled() or _write_arrays
    write(np.require(logits, np.float32, "A"), rows, columns, labels, confidence)


def prepare() -> None:
    """Compile now what would otherwise be compiled with the first image."""
    _compiled()


@functools.cache
def _compiled() -> Callable[..., None] | None:
    """Return the compiled form of `_write_arrays`, or None where Numba is not installed."""
    try:
        from eseg.runtime.upsampling_numba import write_tiles
    except ImportError:
        return None
    except Exception as error:  # labels are made without a Numba that cannot compile this
        reason = str(error).partition("\n")[0]
        message = f"labels are made by NumPy, which takes longer: Numba failed ({reason})"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        return None
    return write_tiles


def _write_arrays(
    logits: NDArray[np.float32],
    rows: Axis,
    columns: Axis,
    labels: NDArray[np.uint8],
    confidence: NDArray[np.float32] | None,
) -> None:
    """Fill tiles whose four corners agree, and interpolate the others."""
    planes = np.ascontiguousarray(logits)  # (classes, height, width)
    winners = np.zeros(planes.shape[1:], np.uint8)
    best = np.full(winners.shape, -np.inf, np.float32)
    for class_id, plane in enumerate(planes):
        _keep_best(plane, np.uint8(class_id), best, winners)
    above, below, top, bottom = rows.tiles
    before, after, left, right = columns.tiles
    winner = winners[np.ix_(above, before)]  # (rows of tiles, columns of tiles)
    border = winner != winners[np.ix_(above, after)]
    border |= winner != winners[np.ix_(below, before)]
    border |= winner != winners[np.ix_(below, after)]
    crowded = border.mean() > _CROWDED
    with np.errstate(invalid="ignore", over="ignore"):  # infinite or absurd logits
        if not crowded:
            labels[...] = np.repeat(np.repeat(winner, right - left, axis=1), bottom - top, axis=0)
            _write_borders(planes, rows, columns, border, labels)
        if crowded or confidence is not None:
            _write_strips(planes, rows, columns, labels if crowded else None, confidence)


def _keep_best(
    values: NDArray[np.float32],
    class_ids: NDArray[np.uint8] | np.uint8,
    best: NDArray[np.float32],
    winners: NDArray[np.uint8],
) -> None:
    """Update the best values and the classes that have them; classes come in ascending order."""
    better = values > best
    np.fmax(best, values, out=best)
    # As ids ascend, the latest to lead is the largest; this is far quicker than a masked copy.
    np.maximum(winners, better * class_ids, out=winners)


def _write_borders(
    planes: NDArray[np.float32],
    rows: Axis,
    columns: Axis,
    border: NDArray[np.bool_],
    labels: NDArray[np.uint8],
) -> None:
    """Interpolate the marked tiles, (rows of tiles, columns of tiles), in bounded chunks."""
    classes, _, width = planes.shape
    tile_rows, tile_columns = np.nonzero(border)
    step = max(1, _CHUNK_LOGITS // classes)
    for start in range(0, len(tile_rows), step):
        above, below, top, bottom = rows.tiles[:, tile_rows[start : start + step]]
        before, after, left, right = columns.tiles[:, tile_columns[start : start + step]]
        # The corners' places in a plane, (4, tiles).
        places = np.stack([y * width + x for y in (above, below) for x in (before, after)])
        corners = np.take(planes.reshape(classes, -1), places, axis=1)  # (classes, 4, tiles)
        hopeless = corners.max(axis=1) < corners.min(axis=1).max(axis=0)  # (classes, tiles)
        # Tiles with equally many classes side by side, and in each the classes that count first.
        counts = classes - hopeless.sum(axis=0)
        order = np.argsort(counts, kind="stable")
        counts = counts[order]
        ids = np.argsort(hopeless[:, order], axis=0, kind="stable")  # (classes, tiles)
        ids = ids[: counts[-1]]
        corners = corners.transpose(1, 0, 2).reshape(4, -1)
        corners = np.take(corners, ids * len(order) + order, axis=1)  # (4, classes, tiles)
        top, bottom, left, right = (side[order] for side in (top, bottom, left, right))
        tallest, widest = (bottom - top).max(), (right - left).max()
        block_step = max(1, _BLOCK_PIXELS // (tallest * widest))
        for block_start in range(0, len(order), block_step):
            block = slice(block_start, block_start + block_step)
            count = counts[block][-1]
            # Smaller tiles repeat their last pixel, which is then written more than once.
            # They are (tallest, tiles) and (widest, tiles).
            y = np.minimum(top[block] + np.arange(tallest)[:, None], bottom[block] - 1)
            x = np.minimum(left[block] + np.arange(widest)[:, None], right[block] - 1)
            shares = rows.share[y], columns.share[x]
            winners = _interpolated_winners(corners[:, :count, block], ids[:count, block], *shares)
            labels[y[:, None], x] = winners


def _interpolated_winners(
    corners: NDArray[np.float32],
    ids: NDArray[np.integer[Any]],
    down: NDArray[np.float32],
    across: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """Find the winners among some classes of some tiles, which stand last so that loops are long.

    Args:
        corners: Logits above left, above right, below left, below right: (4, classes, tiles).
        ids: The classes, ascending in every tile: (classes, tiles).
        down: Weight of the lower corners: (height, tiles).
        across: Weight of the right corners: (width, tiles).

    Returns:
        Class ids, (height, width, tiles).
    """
    shape = (len(down), *across.shape)
    best, winners = np.full(shape, -np.inf, np.float32), np.zeros(shape, np.uint8)
    for quad, class_ids in zip(corners.swapaxes(0, 1), ids.astype(np.uint8), strict=True):
        left = quad[0] + down * (quad[2] - quad[0])  # (height, tiles)
        right = quad[1] + down * (quad[3] - quad[1])
        values = across * (right - left)[:, None]  # (height, width, tiles)
        values += left[:, None]
        _keep_best(values, class_ids, best, winners)
    return winners


def _write_strips(
    planes: NDArray[np.float32],
    rows: Axis,
    columns: Axis,
    labels: NDArray[np.uint8] | None,
    confidence: NDArray[np.float32] | None,
) -> None:
    """Interpolate every pixel, row of tiles by row of tiles; write labels, confidence or both."""
    before, after, left, right = columns.tiles

    def widen(row: int) -> NDArray[np.float32]:
        """Return one row of inputs at the output's width, (classes, width)."""
        start, slope = planes[:, row, before], planes[:, row, after] - planes[:, row, before]
        values = np.repeat(slope, right - left, axis=1) * columns.share
        values += np.repeat(start, right - left, axis=1)
        return values

    for above, below, top, bottom in rows.tiles.T.tolist():
        start = widen(above)
        slope = widen(below) - start
        down = rows.share[top:bottom, None]
        best = np.full((bottom - top, len(columns.share)), -np.inf, np.float32)
        winners = np.zeros(best.shape, np.uint8)
        for class_id in range(len(planes)):
            values = start[class_id] + down * slope[class_id]  # (rows, width)
            _keep_best(values, np.uint8(class_id), best, winners)
        if labels is not None:
            labels[top:bottom] = winners
        if confidence is not None:
            total = np.zeros_like(best)
            for class_id in range(len(planes)):
                total += np.exp(start[class_id] + down * slope[class_id] - best)
            confidence[top:bottom] = 1 / total
