"""Windows, shop fronts and downpipes on planes that are already painted."""

from __future__ import annotations

import numpy as np

from eseg.streets.scene import NOTHING, Facade, Segment

_BLIND = Facade(
    pitch=1.0, width=-1.0, storey=1.0, base=0.0, sill=2.0, head=2.0, glass=NOTHING, frame=NOTHING
)
"""Facade of a segment without windows: none of its pixels are in glass or frame."""

_PIPE = 0.15
"""Width of a downpipe in metres."""

_FRAME = 0.11
"""Width of a window's frame in metres."""


def paint_facades(
    segments: tuple[Segment, ...],
    index: np.ndarray,  # (width,), segment at each column
    along: np.ndarray,  # (width,), metres along the plane at each column
    height: np.ndarray,  # (rows, width), metres above the ground
    seen: np.ndarray,  # (rows, width), True where a pixel shows the plane
    surface: np.ndarray,  # (rows, width), surface indices
    u: np.ndarray,  # (rows, width), texture coordinates
    v: np.ndarray,
) -> None:
    """Replace masonry by glass, frames, shop windows and awnings in `surface`, `u` and `v`."""
    facades = [segment.facade or _BLIND for segment in segments]
    if all(facade is _BLIND for facade in facades):
        return
    numbers = np.array(
        [(f.pitch, f.width, f.storey, f.base, f.sill, f.head) for f in facades], np.float32
    )
    pitch, width, storey, base, sill, head = numbers[index].T  # each (width,)
    names = np.array([(f.glass, f.frame, f.shop, f.awning, f.pipe) for f in facades], surface.dtype)
    glass, frame, shop, awning, pipe = names[index].T  # each (width,)
    eaves = np.array([segment.height for segment in segments], np.float32)[index] - 0.25

    bay = along / pitch  # (width,)
    number = np.floor(bay)
    from_centre = np.abs(bay - number - np.float32(0.5)) * 2
    storeys = (height - base) / storey  # (rows, width)
    level = np.floor(storeys)
    share = storeys - level
    margin = np.float32(_FRAME) / storey
    framed = seen & (storeys > 0) & (height < eaves)
    framed &= (share > sill - margin) & (share < head + margin)
    framed &= from_centre < width + 2 * np.float32(_FRAME) / pitch
    pane = framed & (share > sill) & (share < head) & (from_centre < width)
    np.copyto(surface, frame, where=framed)
    np.copyto(surface, glass, where=pane)
    # Each window takes one texel of the pane tile, so that their brightness differs.
    np.copyto(u, number * np.float32(5.03), where=pane)
    np.copyto(v, level * np.float32(3.01), where=pane)

    has_shop = shop != NOTHING
    if has_shop.any():
        lintel = base - np.float32(0.75)
        band = seen & (height > lintel) & (height < base - np.float32(0.1)) & has_shop
        window = seen & (height > 0.45) & (height <= lintel) & (has_shop & (from_centre < 0.84))
        np.copyto(surface, awning, where=band)
        np.copyto(surface, shop, where=window)
        np.copyto(u, number * np.float32(7.03), where=window)
        np.copyto(v, np.float32(0.0), where=window)

    piped = (pipe != NOTHING) & (np.mod(number, 4) == 0) & ((bay - number) * pitch < _PIPE)
    if piped.any():
        np.copyto(surface, pipe, where=seen & (height < eaves + 0.25) & piped)
