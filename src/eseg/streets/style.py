"""Random look of a scene: weather, season and materials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from eseg.streets.classes import BUILDING, GRASS, PAVEMENT, ROAD, SKY, TREE, WALL
from eseg.streets.scene import LEFT, NOTHING, RIGHT, Colour, Facade, Surface, Weather
from eseg.streets.textures import Tile

ItemT = TypeVar("ItemT")


class Finish(NamedTuple):
    """Look of a surface of any class; see `Surface`."""

    tile: Tile
    density: float
    contrast: float
    colour: Colour

    def on(self, label: int) -> Surface:
        """Return a surface of a class with this look."""
        return Surface(label, self.colour, self.tile, self.density, self.contrast)

    def jittered(self, rng: np.random.Generator, amount: float = 0.04) -> Finish:
        """Return this look in a slightly different colour."""
        return self._replace(colour=jitter(rng, self.colour, amount))


_PAVINGS = (
    Finish(Tile.ASPHALT, 64.0, 0.10, (0.33, 0.33, 0.34)),
    Finish(Tile.ASPHALT, 64.0, 0.09, (0.45, 0.44, 0.43)),
    Finish(Tile.SETTS, 80.0, 0.10, (0.48, 0.45, 0.41)),
    Finish(Tile.SETTS, 96.0, 0.10, (0.52, 0.40, 0.35)),
    Finish(Tile.SLABS, 64.0, 0.07, (0.57, 0.55, 0.51)),
)

_MASONRIES = (
    Finish(Tile.BRICK, 96.0, 0.11, (0.58, 0.31, 0.23)),
    Finish(Tile.BRICK, 96.0, 0.11, (0.70, 0.56, 0.38)),
    Finish(Tile.BRICK, 96.0, 0.12, (0.43, 0.31, 0.26)),
    Finish(Tile.PLASTER, 32.0, 0.05, (0.86, 0.80, 0.66)),
    Finish(Tile.PLASTER, 32.0, 0.05, (0.85, 0.84, 0.82)),
    Finish(Tile.PLASTER, 32.0, 0.05, (0.84, 0.64, 0.55)),
    Finish(Tile.PLASTER, 32.0, 0.06, (0.82, 0.67, 0.40)),
    Finish(Tile.PLASTER, 32.0, 0.06, (0.60, 0.66, 0.70)),
    Finish(Tile.SLABS, 96.0, 0.06, (0.68, 0.64, 0.57)),
)

_LEAVES: tuple[Colour, ...] = (
    (0.42, 0.55, 0.22),  # spring
    (0.24, 0.40, 0.16),  # summer
    (0.33, 0.45, 0.18),
    (0.62, 0.50, 0.17),  # early autumn
    (0.66, 0.38, 0.15),  # late autumn
)

_ROOFS = ((0.50, 0.26, 0.20), (0.33, 0.33, 0.36), (0.42, 0.30, 0.25))

STEELS: tuple[Colour, ...] = (
    (0.30, 0.32, 0.34),
    (0.55, 0.57, 0.58),
    (0.22, 0.27, 0.24),
    (0.60, 0.57, 0.52),
    (0.40, 0.36, 0.33),
)
"""Colours of posts and downpipes."""

SIGNALS: tuple[Colour, ...] = (
    (0.78, 0.09, 0.10),
    (0.10, 0.28, 0.68),
    (0.95, 0.75, 0.12),
    (0.93, 0.93, 0.92),
    (0.13, 0.42, 0.25),
)
"""Colours of traffic signs and of the boards above shops."""


def pick(rng: np.random.Generator, items: Sequence[ItemT]) -> ItemT:
    """Draw one of some items."""
    return items[int(rng.integers(len(items)))]


def jitter(rng: np.random.Generator, colour: Colour, amount: float = 0.04) -> Colour:
    """Vary brightness and, half as much, hue."""
    shift = rng.normal(0.0, amount) + rng.normal(0.0, amount / 2, 3)
    red, green, blue = np.clip(np.asarray(colour) + shift, 0.02, 1.0)
    return float(red), float(green), float(blue)


def draw_weather(rng: np.random.Generator) -> Weather:
    """Draw clear or cloudy sky, overcast, dusk or morning haze."""
    kind = rng.choice(
        ["clear", "cloudy", "overcast", "dusk", "morning"], p=[0.3, 0.25, 0.2, 0.15, 0.1]
    )
    match kind:
        case "clear" | "cloudy":
            zenith, horizon, clouds = (0.30, 0.52, 0.86), (0.74, 0.84, 0.94), (0.97, 0.97, 0.98)
            ambient, sun = (0.58, 0.62, 0.69), (0.58, 0.53, 0.43)
            cover = rng.uniform(0.0, 0.3) if kind == "clear" else rng.uniform(0.4, 0.75)
            haze = rng.uniform(250, 600)
        case "overcast":
            zenith, horizon, clouds = (0.66, 0.69, 0.73), (0.84, 0.85, 0.87), (0.78, 0.79, 0.81)
            ambient, sun = (0.84, 0.85, 0.87), (0.05, 0.05, 0.05)
            cover, haze = rng.uniform(0.5, 0.9), rng.uniform(120, 300)
        case "dusk":
            zenith, horizon, clouds = (0.36, 0.42, 0.62), (0.97, 0.74, 0.52), (0.90, 0.60, 0.52)
            ambient, sun = (0.62, 0.58, 0.62), (0.55, 0.38, 0.20)
            cover, haze = rng.uniform(0.2, 0.6), rng.uniform(150, 400)
        case _:
            zenith, horizon, clouds = (0.60, 0.72, 0.86), (0.93, 0.90, 0.84), (0.96, 0.95, 0.93)
            ambient, sun = (0.62, 0.62, 0.62), (0.42, 0.37, 0.27)
            cover, haze = rng.uniform(0.1, 0.4), rng.uniform(50, 110)
    return Weather(
        zenith=jitter(rng, zenith),
        horizon=jitter(rng, horizon, 0.02),
        clouds=clouds,
        cover=cover,
        ambient=ambient,
        sun=sun,
        side=int(rng.choice([LEFT, RIGHT])),
        elevation=rng.uniform(0.5, 1.8) if kind != "dusk" else rng.uniform(0.25, 0.6),
        skew=rng.uniform(-0.8, 0.8),
        haze=haze,
    )


@dataclass
class Materials:
    """Surfaces of one scene, and the materials that they share.

    Road and pavement share one paving, buildings and walls one set of masonries, trees and grass
    one colour of leaves: within each pair only the layout distinguishes the classes.
    """

    paving: Finish  # of the carriageway and mostly of the pavement
    leaves: Colour  # of trees and grass
    masonries: tuple[Finish, ...]  # of buildings and walls
    surfaces: list[Surface] = field(default_factory=lambda: [Surface(SKY, (0.0, 0.0, 0.0))])

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Materials:
        """Draw the season, one paving and three masonries."""
        paving = pick(rng, _PAVINGS).jittered(rng)
        chosen = rng.choice(len(_MASONRIES), 3, replace=False)
        masonries = tuple(_MASONRIES[index].jittered(rng) for index in chosen)
        leaves = jitter(rng, _LEAVES[rng.choice(5, p=[0.25, 0.25, 0.2, 0.15, 0.15])], 0.03)
        return cls(paving, leaves, masonries)

    def add(self, surface: Surface) -> int:
        """Append a surface and return its index."""
        self.surfaces.append(surface)
        return len(self.surfaces) - 1

    def road(self) -> int:
        """Add the carriageway."""
        return self.add(self.paving.on(ROAD))

    def pavement(self, rng: np.random.Generator) -> int:
        """Add the pavement, in four scenes of five with the paving of the carriageway."""
        other = pick(rng, _PAVINGS).jittered(rng)
        return self.add((other if rng.random() < 0.2 else self.paving).on(PAVEMENT))

    def lawn(self) -> int:
        """Add grass, in the colour and texture of the trees."""
        return self.add(Surface(GRASS, self.leaves, Tile.FOLIAGE, 72.0, 0.24))

    def thicket(self, rng: np.random.Generator) -> int:
        """Add a row of trees or a tall hedge."""
        return self.add(Surface(TREE, jitter(rng, self.leaves, 0.015), Tile.FOLIAGE, 36.0, 0.26))

    def masonry(self, rng: np.random.Generator, label: int) -> int:
        """Add brick, plaster or stone of a building or a wall."""
        return self.add(pick(rng, self.masonries).jittered(rng, 0.02).on(label))

    def coping(self) -> int:
        """Add the cap stones of a wall."""
        return self.add(Surface(WALL, (0.62, 0.60, 0.56), Tile.PLASTER, 64.0, 0.08))

    def roof(self, rng: np.random.Generator) -> int:
        """Add red or grey tiles."""
        colour = jitter(rng, pick(rng, _ROOFS))
        return self.add(Surface(BUILDING, colour, Tile.ROOF, 64.0, 0.10))

    def curtain_wall(self, rng: np.random.Generator) -> tuple[int, Facade]:
        """Add a slender grid of glass that mirrors the sky."""
        frame = self.add(Surface(BUILDING, (0.52, 0.58, 0.63), Tile.PLASTER, 32.0, 0.03))
        glass = self.add(Surface(BUILDING, (0.30, 0.38, 0.42), Tile.PANES, 32.0, 0.1, mirror=0.82))
        grid = Facade(
            pitch=rng.uniform(1.4, 2.6),
            width=0.93,
            storey=rng.uniform(3.0, 3.8),
            base=0.0,
            sill=0.02,
            head=0.97,
            glass=glass,
            frame=frame,
        )
        return frame, grid

    def facade(self, rng: np.random.Generator) -> Facade:
        """Add windows above a plain ground floor, above shops, or on all storeys."""
        bright = rng.random() < 0.7
        frame_colour: Colour = (0.88, 0.87, 0.84) if bright else (0.34, 0.30, 0.27)
        ground_floor = rng.choice(["blind", "shop", "windows"], p=[0.4, 0.3, 0.3])
        shop = awning = NOTHING
        if ground_floor == "shop":
            shop = self.add(
                Surface(BUILDING, (0.24, 0.26, 0.28), Tile.PANES, 32.0, 0.22, mirror=0.15)
            )
            hue = jitter(rng, pick(rng, SIGNALS))
            awning = self.add(Surface(BUILDING, hue, Tile.PLASTER, 32.0, 0.04))
        return Facade(
            pitch=rng.uniform(1.7, 3.4),
            width=rng.uniform(0.36, 0.58),
            storey=rng.uniform(2.9, 3.5),
            base=0.15 if ground_floor == "windows" else rng.uniform(3.2, 4.0),
            sill=rng.uniform(0.25, 0.32),
            head=rng.uniform(0.74, 0.88),
            glass=self.add(
                Surface(BUILDING, (0.27, 0.31, 0.36), Tile.PANES, 32.0, 0.3, mirror=0.3)
            ),
            frame=self.add(Surface(BUILDING, jitter(rng, frame_colour))),
            shop=shop,
            awning=awning,
            pipe=self.add(Surface(BUILDING, jitter(rng, pick(rng, STEELS)))),
        )

    def posters(self, rng: np.random.Generator) -> Facade:
        """Add posters on a wall, in the colours of traffic signs."""
        hue = pick(rng, SIGNALS)
        return Facade(
            pitch=rng.uniform(3.0, 7.0),
            width=rng.uniform(0.15, 0.35),
            storey=10.0,
            base=0.0,
            sill=rng.uniform(0.05, 0.08),
            head=rng.uniform(0.13, 0.17),
            glass=self.add(Surface(WALL, jitter(rng, hue), Tile.PLASTER, 32.0, 0.04)),
            frame=self.add(Surface(WALL, (0.90, 0.90, 0.88))),
        )
