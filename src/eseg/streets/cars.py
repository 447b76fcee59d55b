"""Cars of a few flat faces: a side profile extruded to the car's width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from eseg.streets.scene import Car, CarShape, Colour

Point3: TypeAlias = tuple[float, float, float]
"""(x, distance, height) in the street, in metres."""

_BELT = 1.16
"""Height in metres above which a car is narrower."""


class Face(NamedTuple):
    """A flat part of a car."""

    corners: tuple[Point3, ...]
    colour: Colour  # of its paint
    brightness: float  # factor on the colour, larger for faces that are turned upwards
    outer: bool  # True if it may extend beyond the faces painted before it


class _Profile(NamedTuple):
    """Side view of a car; points are (metres from the rear, height)."""

    outline: tuple[tuple[float, float], ...]  # from the rear bumper over the roof to the front one
    panes: tuple[int, int]  # edges of the outline that hold rear window and windscreen
    side_windows: tuple[tuple[tuple[float, float], ...], ...]
    width: float  # metres

    @property
    def length(self) -> float:
        return self.outline[-1][0]

    def half_width(self, height: float) -> float:
        """Return half of the width at a height: the cabin is narrower than the body."""
        return self.width / 2 if height < _BELT else 0.84 * (self.width / 2)


# fmt: off
_PROFILES = {
    CarShape.SALOON: _Profile(
        outline=((0.0, 0.3), (0.0, 0.8), (0.2, 0.98), (0.8, 1.0), (1.35, 1.42),
                 (2.65, 1.45), (3.4, 0.98), (4.3, 0.84), (4.5, 0.6), (4.5, 0.3)),
        panes=(3, 5),
        side_windows=(((1.05, 1.02), (1.45, 1.35), (1.98, 1.37), (1.98, 1.01)),
                      ((2.08, 1.01), (2.08, 1.37), (2.6, 1.37), (3.15, 1.0))),
        width=1.76,
    ),
    CarShape.HATCHBACK: _Profile(
        outline=((0.0, 0.3), (0.0, 0.82), (0.1, 1.0), (0.45, 1.44), (2.2, 1.5),
                 (3.0, 1.0), (3.75, 0.84), (3.9, 0.55), (3.9, 0.3)),
        panes=(2, 4),
        side_windows=(((0.45, 1.03), (0.65, 1.37), (1.45, 1.41), (1.45, 1.02)),
                      ((1.55, 1.02), (1.55, 1.41), (2.15, 1.42), (2.78, 1.02))),
        width=1.72,
    ),
    CarShape.SUV: _Profile(
        outline=((0.0, 0.35), (0.0, 1.0), (0.1, 1.12), (0.4, 1.68), (2.7, 1.72),
                 (3.35, 1.14), (4.3, 1.04), (4.5, 0.75), (4.5, 0.35)),
        panes=(2, 4),
        side_windows=(((0.4, 1.16), (0.6, 1.57), (1.75, 1.6), (1.75, 1.15)),
                      ((1.85, 1.15), (1.85, 1.6), (2.62, 1.6), (3.12, 1.15))),
        width=1.88,
    ),
    CarShape.VAN: _Profile(
        outline=((0.0, 0.35), (0.0, 1.1), (0.03, 1.25), (0.1, 2.05), (3.6, 2.1),
                 (4.4, 1.28), (4.9, 1.08), (5.0, 0.7), (5.0, 0.35)),
        panes=(2, 4),
        side_windows=(((2.75, 1.32), (2.75, 1.92), (3.5, 1.92), (4.05, 1.32)),),
        width=1.95,
    ),
}
# fmt: on

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
    across, along = profile.width, profile.length
    if car.across:
        across, along = along, across
    return car.x - across / 2, car.x + across / 2, car.distance, car.distance + along


def car_faces(car: Car, viewer: float) -> list[Face]:
    """Return the faces of a car as seen from `x = viewer`, in the order of painting."""
    builder = _CarBuilder(car)
    builder.add_body()
    if not car.across:
        builder.add_end()
    offset = viewer - car.x
    if car.across:
        builder.add_side(-1)
    elif abs(offset) >= builder.profile.width / 2:  # else the camera sees neither side
        builder.add_side(-1 if offset < 0 else 1)
    return builder.faces


class _CarBuilder:
    def __init__(self, car: Car) -> None:
        self.car, self.profile = car, _PROFILES[car.shape]
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
        self, corners: Sequence[Point3], colour: Colour, brightness: float, outer: bool = True
    ) -> None:
        placed = tuple(self.place(*corner) for corner in corners)
        self.faces.append(Face(placed, colour, brightness, outer))

    def add_body(self) -> None:
        """Add bonnet, roof, boot and windows, far faces first."""
        outline, half_width = self.profile.outline, self.profile.half_width

        def remoteness(k: int) -> float:
            middle = (outline[k][0] + outline[k + 1][0]) / 2
            return self.place(middle, 0.0, 0.0)[1]

        for k in sorted(range(len(outline) - 1), key=remoteness, reverse=True):
            (l1, h1), (l2, h2) = outline[k], outline[k + 1]
            w1, w2 = half_width(h1), half_width(h2)
            upward = abs(l2 - l1) / math.hypot(l2 - l1, h2 - h1)
            quad = [(l1, -w1, h1), (l2, -w2, h2), (l2, w2, h2), (l1, w1, h1)]
            self.add(quad, self.car.colour, 0.68 + 0.42 * upward)
            if k in self.profile.panes:
                pane = [_inset(corner, quad, 0.86) for corner in quad]
                self.add(pane, _GLASS, 0.9 + 0.5 * upward, outer=False)

    def add_end(self) -> None:
        """Add bumper, tyres, lamps and number plate of the end that faces the camera."""
        half, along = self.profile.width / 2, 0.0 if self.car.away else self.profile.length
        belt = 0.8 if self.profile.outline[1][1] < 0.9 else 1.0
        lamp, top = (_RED_LAMP, belt - 0.04) if self.car.away else (_HEADLAMP, 0.58)

        def panel(left: float, right: float, low: float, high: float, colour: Colour) -> None:
            corners = [
                (along, left, low),
                (along, right, low),
                (along, right, high),
                (along, left, high),
            ]
            self.add(corners, colour, 1.0, outer=low < 0.3)

        def pair(inner: float, outer: float, low: float, high: float, colour: Colour) -> None:
            panel(-half * outer, -half * inner, low, high, colour)
            panel(half * inner, half * outer, low, high, colour)

        panel(-half * 0.98, half * 0.98, 0.12, 0.38, _RUBBER)
        pair(0.55, 0.92, 0.0, 0.2, _RUBBER)
        pair(0.66, 0.96, top - 0.17, top, lamp)
        panel(-0.27, 0.27, 0.42, 0.53, _PLATE)

    def add_side(self, side: int) -> None:
        """Add painted side, windows, sill and wheels on the left (-1) or right (1)."""
        length = self.profile.length

        def flat(
            points: Sequence[tuple[float, float]], colour: Colour, brightness: float, outer: bool
        ) -> None:
            placed = [
                (along, side * self.profile.half_width(height), height) for along, height in points
            ]
            self.add(placed, colour, brightness, outer)

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
