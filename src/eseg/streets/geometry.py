"""Perspective view of a street: ray casting onto the ground and the planes along it.

The street is a corridor, so a column of the picture meets each plane at one distance; only heights
vary along it. A whole picture therefore needs only a few array operations per plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eseg.streets.facades import paint_facades
from eseg.streets.scene import NOTHING, Crossing, Ground, Plane, Scene, Segment
from eseg.streets.textures import TILE_SIZE, Tile, tile_atlas

FAR = 1000.0
"""Distance in metres that stands for the horizon."""


class View:
    """Projection of the camera at one picture size.

    Attributes:
        size: (height, width) of the picture.
        focal: Focal length in pixels.
        slope: float32 (width,); metres to the right per metre ahead.
        drop: float32 (height, width); metres downwards per metre ahead.
    """

    def __init__(self, scene: Scene, size: tuple[int, int]) -> None:
        height, width = size
        camera = scene.camera
        self.size = size
        self.scene = scene
        self.focal = camera.focal * (height * width / 2) ** 0.5
        self.column = camera.vanish * width
        self.row = camera.horizon * height
        columns = np.arange(width, dtype=np.float32) + 0.5 - self.column
        rows = np.arange(height, dtype=np.float32)[:, None] + 0.5 - self.row
        self.slope = (columns / self.focal).astype(np.float32)
        self.drop = ((rows + camera.roll * columns) / self.focal).astype(np.float32)

    def project(self, x: float, distance: float, height: float) -> tuple[float, float]:
        """Return the (column, row) at which a point of the street appears."""
        camera = self.scene.camera
        across = x + self.scene.curve * distance**2 - camera.x
        column = self.column + self.focal * across / distance
        row = self.row + self.focal * (camera.height - height) / distance
        return column, row - camera.roll * (column - self.column)


@dataclass
class Surfels:
    """Surface elements that the pixels show; arrays of (height, width) except `nearest`."""

    surface: np.ndarray  # int16 index into the scene's surfaces; 0 is the sky
    u: np.ndarray  # float32, metres along the surface
    v: np.ndarray  # float32, metres across the surface
    distance: np.ndarray  # float32, metres ahead
    footprint: np.ndarray  # float32, metres that one pixel covers; selects the mip level
    sunlit: np.ndarray  # float32 in [0, 1], share of the sunlight that falls on the surface
    nearest: np.ndarray  # float32 (width,), distance of the nearest plane in each column


def trace(view: View, shade: Shade) -> Surfels:
    """Find the surface that every pixel shows, ignoring the things in the street."""
    scene, (height, width) = view.scene, view.size
    surfels = Surfels(
        surface=np.zeros((height, width), np.int16),
        u=np.zeros((height, width), np.float32),
        v=np.zeros((height, width), np.float32),
        distance=np.full((height, width), FAR, np.float32),
        footprint=np.ones((height, width), np.float32),
        sunlit=np.ones((height, width), np.float32),
        nearest=np.full(width, scene.end, np.float32),
    )
    _trace_ground(view, surfels, shade)
    _trace_backdrop(view, surfels)
    for plane in scene.planes:
        _trace_plane(view, surfels, shade, plane)
    return surfels


class Shade:
    """Shadow of the houses on the sun's side of the street."""

    BINS_PER_METRE = 2

    def __init__(self, scene: Scene) -> None:
        weather = scene.weather
        self.side, self.elevation, self.skew = weather.side, weather.elevation, weather.skew
        where = np.arange(0, scene.end, 1 / self.BINS_PER_METRE)  # (bins,)
        limit = np.full(len(where), FAR)  # (bins,)
        for plane in scene.planes:
            if np.sign(plane.x) != self.side:
                continue
            heights = np.array([segment.height for segment in plane.segments])
            here = heights[_segment_index(plane.segments, where)]  # (bins,)
            limit = np.minimum(limit, abs(plane.x) - here / self.elevation)
        self.limit = limit.astype(np.float32)
        self.origin = max((abs(p.x) for p in scene.planes if np.sign(p.x) == self.side), default=0)

    def height(self, x: np.ndarray | float, distance: np.ndarray) -> np.ndarray:
        """Return the height of the shadow at a place; negative where the ground is sunlit."""
        across = np.float32(self.side) * x
        along = distance + np.float32(self.skew) * (np.float32(self.origin) - across)
        bins = np.clip(along * self.BINS_PER_METRE, 0, len(self.limit) - 1).astype(np.int32)
        return (across - self.limit.take(bins)) * np.float32(self.elevation)


def _segment_index(segments: tuple[Segment, ...], where: np.ndarray) -> np.ndarray:
    """Return the index of the segment at each position along a plane."""
    starts = np.array([segment.start for segment in segments])
    return np.maximum(np.searchsorted(starts, where, side="right") - 1, 0)


def _trace_ground(view: View, surfels: Surfels, shade: Shade) -> None:
    """Write the ground into the pixels below the horizon."""
    scene, ground, camera = view.scene, view.scene.ground, view.scene.camera
    below = view.drop > camera.height / FAR  # (height, width)
    first = int(np.argmax(below.any(axis=1))) if below.any() else view.size[0]
    rows = slice(first, None)
    below = below[rows]  # (rows, width), as all arrays from here on
    distance = np.float32(camera.height) / np.maximum(view.drop[rows], camera.height / FAR)
    x = view.slope * distance + np.float32(camera.x)
    if scene.curve:
        x -= np.float32(scene.curve) * distance * distance

    strip = np.zeros(x.shape, np.int8)
    for edge in ground.edges:
        strip += x > edge
    surface = np.array(ground.strips, np.int16).take(strip)
    side = np.abs(x)
    if ground.dash is not None:
        length, period = ground.dash
        surface[(side < 0.08) & (np.mod(distance, np.float32(period)) < length)] = ground.paint
    if scene.crossing is not None:
        _lay_crossing(ground, scene.crossing, surface, x, distance)

    np.copyto(surfels.surface[rows], surface, where=below)
    surfels.u[rows], surfels.v[rows] = x, distance
    np.copyto(surfels.distance[rows], distance, where=below)
    # A pixel covers far more ground lengthwise than across; a mean of the two avoids both
    # flickering and blurring.
    flatness = np.float32(0.4 / (view.focal * camera.height))
    surfels.footprint[rows] = distance * distance * flatness
    surfels.sunlit[rows] = shade.height(x, distance) < 0


def _lay_crossing(
    ground: Ground, crossing: Crossing, surface: np.ndarray, x: np.ndarray, distance: np.ndarray
) -> None:
    """Replace the strips by the side street where it meets the street, in `surface`."""
    half, side = ground.half_width, np.abs(x)
    inside = (distance > crossing.start) & (distance < crossing.end)
    if not crossing.left:
        inside &= x > -half
    if not crossing.right:
        inside &= x < half
    near, far = crossing.start + crossing.pavement, crossing.end - crossing.pavement
    driven = (side < half) | ((distance > near) & (distance < far))
    kerb = (distance > near - 0.25) & (distance < far + 0.25) & ~driven
    np.copyto(surface, np.int16(ground.road), where=inside & driven)
    np.copyto(surface, np.int16(ground.pavement), where=inside & ~driven)
    np.copyto(surface, np.int16(ground.strips[3]), where=inside & kerb)
    if crossing.zebra:
        band = (distance > crossing.start - 3.4) & (distance < crossing.start - 0.4)
        stripes = band & (side < half - 0.3) & (np.mod(x, np.float32(1.0)) < 0.5)
        np.copyto(surface, np.int16(ground.paint), where=stripes)


def _trace_backdrop(view: View, surfels: Surfels) -> None:
    """Write the plane that closes the street."""
    backdrop = view.scene.backdrop
    distance = np.full(view.size[1], view.scene.end, np.float32)
    across = view.slope * distance
    index = _segment_index(backdrop.segments, across)
    footprint = distance / view.focal
    hit = _Hit(slice(None), distance, across, index, footprint, sunlit=0.35, shadow=-1.0)
    _paint(view, surfels, backdrop, hit)


@dataclass
class _Hit:
    """Intersections of the columns of a slice with a plane; all arrays are (columns,)."""

    columns: slice  # of the picture
    distance: np.ndarray  # metres ahead; infinite where a column misses the plane
    along: np.ndarray  # metres along the plane
    index: np.ndarray  # segment of the plane
    footprint: np.ndarray  # metres that a pixel covers
    sunlit: np.ndarray | float  # share of the sunlight on the plane outside the shadow
    shadow: np.ndarray | float  # height below which the plane is in the shadow


def _trace_plane(view: View, surfels: Surfels, shade: Shade, plane: Plane) -> None:
    """Intersect the columns with a plane along the street, and write what they meet."""
    scene, offset = view.scene, plane.x - view.scene.camera.x
    side = np.sign(plane.x)
    slope, curve = side * view.slope, side * scene.curve
    # The nearer root of curve * d^2 - slope * d + offset = 0, in a form that allows curve = 0.
    discriminant = slope**2 - 4 * abs(offset) * curve  # (width,)
    root = slope + np.sqrt(np.maximum(discriminant, 0))
    met = (discriminant >= 0) & (root > 2 * abs(offset) / scene.end)
    if not met.any() or offset * side <= 0:
        return
    columns = slice(int(np.argmax(met)), len(met) - int(np.argmax(met[::-1])))
    met = met[columns]  # (columns,), as all arrays from here on
    distance = np.where(met, 2 * abs(offset) / np.maximum(root[columns], 1e-6), FAR)
    index = _segment_index(plane.segments, distance)
    along = distance.copy()
    stretch = np.sqrt(np.maximum(distance / abs(offset), 1.0))
    footprint = distance / view.focal * stretch
    facing = 0.9 if side != scene.weather.side else 0.0
    sunlit, shadow = facing, shade.height(plane.x, distance) if facing else -1.0

    if plane.solid:
        starts = np.array([segment.start for segment in plane.segments] + [FAR])
        gap = np.array([segment.surface == NOTHING for segment in plane.segments])[index]
        beyond = np.minimum(index + 1, len(plane.segments) - 1)
        # A gap shows the side of the next house.
        face = starts[index + 1]
        distance = np.where(gap, face, distance)
        met &= ~gap | (face < scene.end)
        along = np.where(gap, distance * view.slope[columns], along)
        footprint = np.where(gap, distance / view.focal, footprint)
        sunlit = np.where(gap, 0.35, sunlit)
        shadow = np.where(gap, -1.0, shadow)
        index = np.where(gap, beyond, index)
    distance = np.where(met, distance, np.inf)
    hit = _Hit(columns, distance, along, index, footprint, sunlit, shadow)
    _paint(view, surfels, plane, hit)
    surfels.nearest[columns] = np.minimum(surfels.nearest[columns], distance)


def _paint(view: View, surfels: Surfels, plane: Plane, hit: _Hit) -> None:
    """Write the plane into the pixels that see it."""
    columns, segments = hit.columns, plane.segments
    visible = np.isfinite(hit.distance)  # (columns,), as all arrays up to `highest`
    surface = np.array([segment.surface for segment in segments], np.int16)[hit.index]
    visible &= surface != NOTHING
    distance = np.where(visible, hit.distance, 1.0).astype(np.float32)
    along = hit.along.astype(np.float32)
    top = np.array([segment.height for segment in segments], np.float32)[hit.index]
    ragged = np.array([segment.ragged for segment in segments], np.float32)
    if ragged.any():
        top += ragged[hit.index] * _ragged(along)
    cap = np.array([segment.cap for segment in segments], np.int16)[hit.index]
    cap_height = np.array([segment.cap_height for segment in segments], np.float32)[hit.index]
    # Invisible columns have no pixels below their ceiling.
    ceiling = np.where(visible, top + cap_height, -np.inf).astype(np.float32)

    camera_height = np.float32(view.scene.camera.height)
    highest = (camera_height - ceiling) / distance
    rows = slice(int(np.searchsorted(view.drop.max(axis=1), highest.min())), None)
    patch = (rows, columns)
    height = camera_height - view.drop[patch] * distance  # (rows, columns)
    seen = (height >= 0) & (height < ceiling)  # (rows, columns)
    shown, u, v = surfels.surface[patch], surfels.u[patch], surfels.v[patch]  # views
    np.copyto(shown, surface, where=seen)
    np.copyto(u, along, where=seen)
    np.copyto(v, height, where=seen)
    np.copyto(surfels.distance[patch], distance, where=seen)
    np.copyto(surfels.footprint[patch], hit.footprint.astype(np.float32), where=seen)
    sunlit = np.asarray(hit.sunlit, np.float32) * (height > np.asarray(hit.shadow, np.float32))
    np.copyto(surfels.sunlit[patch], sunlit, where=seen)
    if (cap != NOTHING).any():
        np.copyto(shown, cap, where=seen & (height > top))
    paint_facades(segments, hit.index, along, height, seen, shown, u, v)


def _ragged(along: np.ndarray) -> np.ndarray:
    """Return heights of tree tops in about [-1, 1]: a smooth outline with leaves, (columns,)."""
    leaves = tile_atlas()[int(Tile.FOLIAGE) * TILE_SIZE**2 :][:TILE_SIZE]
    fine = leaves[(along * 24).astype(np.int64) % TILE_SIZE]
    return np.sin(along * 1.3) * 0.6 + np.sin(along * 3.1 + 1.0) * 0.4 + 0.3 * fine
