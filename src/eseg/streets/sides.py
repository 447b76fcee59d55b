"""Sides of a street: houses, garden walls, retaining walls and rows of trees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eseg.streets.classes import BUILDING, WALL
from eseg.streets.scene import LEFT, NOTHING, RIGHT, Corridor, Facade, Plane, Segment
from eseg.streets.style import Materials, pick


def draw_sides(
    rng: np.random.Generator, materials: Materials, corridor: Corridor, end: float
) -> tuple[Plane, ...]:
    """Draw the planes along both sides of the street up to the distance `end`."""
    planes: list[Plane] = []
    crossing = corridor.crossing
    for side in (LEFT, RIGHT):
        open_here = crossing is not None and (crossing.left if side == LEFT else crossing.right)
        opening = (crossing.start, crossing.end) if crossing is not None and open_here else None
        builder = _SideBuilder(rng, materials, end, opening)
        outer = corridor.borders(side)[-1]
        if corridor.blind == side:
            label = BUILDING if corridor.pedestrian else WALL
            planes.append(builder.draw_blind(side * outer, label))
        else:
            planes += builder.draw(side, outer, _kinds(corridor))
    return tuple(planes)


def _kinds(corridor: Corridor) -> dict[str, float]:
    """Return the kinds of a side with their probabilities."""
    if not corridor.blind:
        return {"row": 0.12, "mixed": 0.32, "gardens": 0.18, "park": 0.14, "retaining": 0.24}
    return {"row": 1.0} if corridor.pedestrian else {"park": 0.5, "woods": 0.5}


def draw_backdrop(rng: np.random.Generator, materials: Materials, end: float) -> Plane:
    """Close the street at the distance `end` with houses or woods, sometimes low ones."""
    segments: list[Segment] = []
    width = 1.5 * end
    if rng.random() < 0.5:
        woods = materials.thicket(rng)
        height = rng.uniform(4, 14)
        segments.append(Segment(-width, woods, height, ragged=0.2 * height))
    else:
        facade = materials.facade(rng)
        x = -width
        while x < width:
            surface = materials.masonry(rng, BUILDING)
            height = rng.uniform(7, 22)
            segments.append(Segment(x, surface, height, materials.roof(rng), 2.0, facade))
            x += rng.uniform(0.15, 0.4) * end
    return Plane(0.0, tuple(segments), solid=True)


@dataclass
class _SideBuilder:
    """Builds the planes of one side; `opening` is the stretch that a side street takes."""

    rng: np.random.Generator
    materials: Materials
    end: float
    opening: tuple[float, float] | None

    def draw(self, side: int, outer: float, kinds: dict[str, float]) -> list[Plane]:
        """Draw the planes of one side, far ones first; `outer` is the pavement's far border."""
        rng = self.rng
        kind = rng.choice(list(kinds), p=list(kinds.values()))
        x, behind = side * outer, side * (outer + rng.uniform(3.0, 8.0))
        match kind:
            case "row":
                return [self._houses(x, gaps=0.0)[0]]
            case "mixed":
                return list(self._houses(x, gaps=0.45))
            case "gardens":
                return [self._houses(behind, gaps=0.3)[0], self._wall(x, rng.uniform(0.8, 1.5))]
            case "park":
                trees = self._trees(side * (outer + rng.uniform(5, 14)))
                low = rng.random() < 0.5
                return [trees, self._wall(x, rng.uniform(0.7, 1.2))] if low else [trees]
            case _:
                wooded = kind == "woods" or rng.random() < 0.5
                backing = self._trees(behind) if wooded else self._houses(behind, gaps=0.2)[0]
                return [backing, self._wall(x, rng.uniform(1.7, 3.4))]

    def draw_blind(self, x: float, label: int) -> Plane:
        """Draw masonry without windows, whose upper edge is out of sight from nearby."""
        height = self.rng.uniform(9.0, 14.0)

        def masonry(start: float) -> Segment:
            return Segment(start, self.materials.masonry(self.rng, label), height)

        return Plane(x, self._segments(10.0, 30.0, masonry), solid=True)

    def _houses(self, x: float, gaps: float) -> tuple[Plane, Plane]:
        """Draw a row of houses, and the walls that close the gaps between them."""
        rng = self.rng
        facades = [self.materials.facade(rng) for _ in range(3)]
        coping = self.materials.coping()
        storeys, glassy = int(rng.integers(2, 6)), rng.random() < 0.3
        houses: list[Segment] = []
        walls: list[Segment] = []
        for start, free in self._lots(6.0, 16.0):
            if not free:
                houses.append(Segment(start, NOTHING))
                walls.append(Segment(start, NOTHING))
            elif houses and houses[-1].surface != NOTHING and rng.random() < gaps:
                houses.append(Segment(start, NOTHING))
                brick, height = self.materials.masonry(rng, WALL), rng.uniform(1.5, 2.8)
                walls.append(Segment(start, brick, height, coping, 0.14, self._posters()))
            else:
                houses.append(self._house(start, storeys, pick(rng, facades), glassy))
                walls.append(Segment(start, NOTHING))
        return Plane(x, tuple(houses), solid=True), Plane(x, tuple(walls), solid=False)

    def _house(self, start: float, storeys: int, facade: Facade, glassy: bool) -> Segment:
        rng = self.rng
        height = facade.base % facade.storey + facade.storey * (storeys + rng.integers(2)) + 0.3
        if glassy and rng.random() < 0.5:
            frame, grid = self.materials.curtain_wall(rng)
            return Segment(start, frame, height + 3.0, facade=grid)
        surface = self.materials.masonry(rng, BUILDING)
        windows = None if rng.random() < 0.14 else facade
        if rng.random() < 0.6:
            roof = self.materials.roof(rng)
            return Segment(start, surface, height, roof, rng.uniform(1.0, 2.4), windows)
        return Segment(start, surface, height, windows.frame if windows else surface, 0.3, windows)

    def _wall(self, x: float, height: float) -> Plane:
        """Draw a wall along the whole side, in stretches of slightly different height."""
        coping = self.materials.coping()
        brick = self.materials.masonry(self.rng, WALL)

        def stretch(start: float) -> Segment:
            top = height * self.rng.uniform(0.92, 1.08)
            return Segment(start, brick, top, coping, 0.12, self._posters())

        return Plane(x, self._segments(15.0, 40.0, stretch), solid=False)

    def _posters(self) -> Facade | None:
        return self.materials.posters(self.rng) if self.rng.random() < 0.5 else None

    def _trees(self, x: float) -> Plane:
        height = self.rng.uniform(3.5, 9.0)

        def trees(start: float) -> Segment:
            leaves, top = self.materials.thicket(self.rng), height * self.rng.uniform(0.8, 1.2)
            return Segment(start, leaves, top, ragged=0.16 * height)

        return Plane(x, self._segments(6.0, 14.0, trees), solid=True)

    def _segments(
        self, shortest: float, longest: float, draw: Callable[[float], Segment]
    ) -> tuple[Segment, ...]:
        """Draw one segment per lot, and leave the opening free."""
        lots = self._lots(shortest, longest)
        return tuple(draw(start) if free else Segment(start, NOTHING) for start, free in lots)

    def _lots(self, shortest: float, longest: float) -> list[tuple[float, bool]]:
        """Split the side into lots: (start, True if it may be built on)."""
        lots: list[tuple[float, bool]] = []
        position = -self.rng.uniform(0.0, shortest)
        while position < self.end:
            if self.opening is not None and self.opening[0] <= position < self.opening[1]:
                lots.append((position, False))
                position = self.opening[1]
                continue
            lots.append((position, True))
            following = position + self.rng.uniform(shortest, longest)
            if self.opening is not None and position < self.opening[0] < following:
                following = self.opening[0]
            position = following
        return lots
