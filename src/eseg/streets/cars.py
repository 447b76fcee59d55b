"""Cars of a few flat faces: a side profile extruded to the car's width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from eseg.streets.things import Car, CarShape, Colour

Point3: TypeAlias = tuple[float, float, float]
"""(x, distance, height) in the street, in metres."""


@dataclass(frozen=True)
class Face:
    """A flat part of a car.

    Attributes:
        corners: Its corners.
        colour: Colour of its paint.
        brightness: Factor on the colour, larger for faces that are turned upwards.
        outer: True if it may extend beyond the faces painted before it.
    """

    corners: tuple[Point3, ...]
    colour: Colour
    brightness: float
    outer: bool


@dataclass(frozen=True)
class _Profile:
    """Outline from the rear bumper over the roof to the front one, (metres from the rear, height).

    Attributes:
        outline: Corners of the painted body.
        rear_window: Index of the corner at which the rear window's edge of the outline starts.
        windscreen: The same for the windscreen.
        side_windows: Polygons on the side.
        width: Metres.
    """

    outline: tuple[tuple[float, float], ...]
    rear_window: int
    windscreen: int
    side_windows: tuple[tuple[tuple[float, float], ...], ...]
    width: float

    @property
    def length(self) -> float:
        return self.outline[-1][0]


# fmt: off
_PROFILES = {
    CarShape.SALOON: _Profile(
        outline=((0.0, 0.3), (0.0, 0.8), (0.2, 0.98), (0.8, 1.0), (1.35, 1.42),
                 (2.65, 1.45), (3.4, 0.98), (4.3, 0.84), (4.5, 0.6), (4.5, 0.3)),
        rear_window=3,
        windscreen=5,
        side_windows=(((1.05, 1.02), (1.45, 1.35), (1.98, 1.37), (1.98, 1.01)),
                      ((2.08, 1.01), (2.08, 1.37), (2.6, 1.37), (3.15, 1.0))),
        width=1.76,
    ),
    CarShape.HATCHBACK: _Profile(
        outline=((0.0, 0.3), (0.0, 0.82), (0.1, 1.0), (0.45, 1.44), (2.2, 1.5),
                 (3.0, 1.0), (3.75, 0.84), (3.9, 0.55), (3.9, 0.3)),
        rear_window=2,
        windscreen=4,
        side_windows=(((0.45, 1.03), (0.65, 1.37), (1.45, 1.41), (1.45, 1.02)),
                      ((1.55, 1.02), (1.55, 1.41), (2.15, 1.42), (2.78, 1.02))),
        width=1.72,
    ),
    CarShape.SUV: _Profile(
        outline=((0.0, 0.35), (0.0, 1.0), (0.1, 1.12), (0.4, 1.68), (2.7, 1.72),
                 (3.35, 1.14), (4.3, 1.04), (4.5, 0.75), (4.5, 0.35)),
        rear_window=2,
        windscreen=4,
        side_windows=(((0.4, 1.16), (0.6, 1.57), (1.75, 1.6), (1.75, 1.15)),
                      ((1.85, 1.15), (1.85, 1.6), (2.62, 1.6), (3.12, 1.15))),
        width=1.88,
    ),
    CarShape.VAN: _Profile(
        outline=((0.0, 0.35), (0.0, 1.1), (0.03, 1.25), (0.1, 2.05), (3.6, 2.1),
                 (4.4, 1.28), (4.9, 1.08), (5.0, 0.7), (5.0, 0.35)),
        rear_window=2,
        windscreen=4,
        side_windows=(((2.75, 1.32), (2.75, 1.92), (3.5, 1.92), (4.05, 1.32)),),
        width=1.95,
    ),
}
# fmt: on

_BELT = 1.16
"""Height in metres above which a car is narrower."""

_GLASS: Colour = (0.20, 0.24, 0.28)
_RUBBER: Colour = (0.07, 0.07, 0.08)
_HUB: Colour = (0.5, 0.5, 0.5)
_RED_LAMP: Colour = (0.75, 0.08, 0.07)
_HEADLAMP: Colour = (0.92, 0.92, 0.86)
_PLATE: Colour = (0.88, 0.88, 0.84)
_WHEEL = tuple((math.cos(k * math.pi / 6), math.sin(k * math.pi / 6)) for k in range(12))


def car_footprint(car: Car) -> tuple[float, float, float, float]:
    """Return the ground below a car: (left x, right x, near distance, far distance)."""
    profile = _PROFILES[car.shape]
    if car.across:
        half = profile.length / 2
        return car.x - half, car.x + half, car.distance, car.distance + profile.width
    half = profile.width / 2
    return car.x - half, car.x + half, car.distance, car.distance + profile.length


def car_faces(car: Car, viewer: float) -> list[Face]:
    """Return the faces of a car in the order in which they are painted.

    Args:
        car: The car.
        viewer: The camera's `x`, which determines the visible side.
    """
    builder = _CarBuilder(car, _PROFILES[car.shape])
    builder.add_body()
    if not car.across:
        builder.add_end(rear=car.away)
    side = builder.visible_side(viewer)
    if side is not None:
        builder.add_side(side)
    return builder.faces


class _CarBuilder:
    def __init__(self, car: Car, profile: _Profile) -> None:
        self.car, self.profile = car, profile
        self.faces: list[Face] = []

    def place(self, along: float, across: float, height: float) -> Point3:
        """Convert from the car (metres from the rear, right of the middle, up) to the street."""
        car, length = self.car, self.profile.length
        if car.across:
            x = along - length / 2 if car.away else length / 2 - along
            return car.x + x, car.distance + self.profile.width / 2 + across, height
        distance = along if car.away else length - along
        return car.x + across, car.distance + distance, height

    def add(
        self,
        corners: Sequence[tuple[float, float, float]],
        colour: Colour,
        brightness: float,
        outer: bool = True,
    ) -> None:
        placed = tuple(self.place(*corner) for corner in corners)
        self.faces.append(Face(placed, colour, brightness, outer))

    def add_body(self) -> None:
        """Add bonnet, roof, boot and windows, far faces first."""
        outline, half = self.profile.outline, self.profile.width / 2
        # The cabin is narrower than the body.
        insets = [half if height < _BELT else 0.84 * half for _, height in outline]
        edges = range(len(outline) - 1)

        def remoteness(k: int) -> float:
            middle = (outline[k][0] + outline[k + 1][0]) / 2
            return self.place(middle, 0.0, 0.0)[1]

        for k in sorted(edges, key=remoteness, reverse=True):
            (l1, h1), (l2, h2) = outline[k], outline[k + 1]
            w1, w2 = insets[k], insets[k + 1]
            upward = abs(l2 - l1) / math.hypot(l2 - l1, h2 - h1)
            quad = [(l1, -w1, h1), (l2, -w2, h2), (l2, w2, h2), (l1, w1, h1)]
            self.add(quad, self.car.colour, 0.68 + 0.42 * upward)
            if k in (self.profile.rear_window, self.profile.windscreen):
                pane = [_inset(corner, quad, 0.86) for corner in quad]
                self.add(pane, _GLASS, 0.9 + 0.5 * upward, outer=False)

    def add_end(self, rear: bool) -> None:
        """Add bumper, tyres, lamps and number plate of the end that faces the camera."""
        half, along = self.profile.width / 2, 0.0 if rear else self.profile.length
        belt = 0.8 if self.profile.outline[1][1] < 0.9 else 1.0

        def panel(
            spans: tuple[tuple[float, float], ...], low: float, high: float, colour: Colour
        ) -> None:
            for left, right in spans:
                corners = [(left, low), (right, low), (right, high), (left, high)]
                placed = [(along, across, height) for across, height in corners]
                self.add(placed, colour, 1.0, outer=low < 0.3)

        def both(inner: float, outer: float) -> tuple[tuple[float, float], ...]:
            return (-half * outer, -half * inner), (half * inner, half * outer)

        lamp, top = (_RED_LAMP, belt - 0.04) if rear else (_HEADLAMP, 0.58)
        panel(both(-0.98, 0.98)[1:], 0.12, 0.38, _RUBBER)
        panel(both(0.55, 0.92), 0.0, 0.2, _RUBBER)
        panel(both(0.66, 0.96), top - 0.17, top, lamp)
        panel(((-0.27, 0.27),), 0.42, 0.53, _PLATE)

    def visible_side(self, viewer: float) -> int | None:
        """Return -1 or 1 for the side that the camera sees, or None if it sees neither."""
        if self.car.across:
            return -1
        offset = viewer - self.car.x
        if abs(offset) < self.profile.width / 2:
            return None
        return -1 if offset < 0 else 1

    def add_side(self, side: int) -> None:
        """Add painted side, windows, sill and wheels."""
        half, length = side * self.profile.width / 2, self.profile.length

        def lean(height: float) -> float:
            return half if height < _BELT else 0.84 * half

        def flat(
            points: Sequence[tuple[float, float]], colour: Colour, bright: float, outer: bool
        ) -> None:
            placed = [(along, lean(height), height) for along, height in points]
            self.add(placed, colour, bright, outer)

        def wheel(axle: float, radius: float) -> list[tuple[float, float]]:
            return [(axle + radius * x, 0.33 + radius * y) for x, y in _WHEEL]

        sill = ((0.1, 0.15), (length - 0.1, 0.15), (length, 0.4), (0.0, 0.4))
        flat(sill, _RUBBER, 1.0, outer=True)
        flat(self.profile.outline, self.car.colour, 0.8, outer=True)
        for window in self.profile.side_windows:
            flat(window, _GLASS, 1.0, outer=False)
        for axle in (0.85, length - 0.9):
            flat(wheel(axle, 0.33), _RUBBER, 1.0, outer=True)
            flat(wheel(axle, 0.17), _HUB, 1.0, outer=False)


def _inset(corner: Point3, quad: list[Point3], share: float) -> Point3:
    """Move a corner of a quad towards its middle."""
    x, y, z = (
        sum(other[axis] for other in quad) / len(quad) * (1 - share) + corner[axis] * share
        for axis in range(3)
    )
    return x, y, z
