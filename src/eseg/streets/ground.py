"""Ground plan of a street: carriageway, kerbs, verges, pavements and a side street."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eseg.streets.classes import PAVEMENT, ROAD
from eseg.streets.scene import Crossing, Ground, Surface
from eseg.streets.style import Materials
from eseg.streets.textures import Tile

LEFT, RIGHT = -1, 1

ALLEYS = 0.34
"""Share of the streets that are alleys."""


@dataclass(frozen=True)
class Corridor:
    """Widths in metres, from the centre line outwards; pairs are (left, right).

    Attributes:
        half_width: From the centre line to the kerb.
        kerb: Width of the kerb stones; 0 in an alley.
        verge: Grass between kerb and pavement.
        pavement: Width of the pavement.
        pedestrian: True if the whole width is pavement.
        blind: Side of an alley's windowless masonry, `LEFT` or `RIGHT`; 0 in any other street.
    """

    half_width: float
    kerb: float
    verge: tuple[float, float]
    pavement: tuple[float, float]
    pedestrian: bool = False
    blind: int = 0

    def borders(self, side: int) -> tuple[float, float, float, float]:
        """Return distances from the centre line to kerb, verge, pavement and building line."""
        index = side > 0
        kerb = self.half_width
        verge = kerb + self.kerb
        pavement = verge + self.verge[index]
        return kerb, verge, pavement, pavement + self.pavement[index]


def draw_corridor(rng: np.random.Generator) -> Corridor:
    """Draw the widths of a street; one in three is an alley without kerbs and with one paving.

    Windowless masonry lines one side of an alley. In the old town it is part of houses, and the
    ground is pavement; between gardens it is a wall, and the ground is road. Both look the same and
    differ only in the opposite side, which is far from most of their pixels.
    """
    if rng.random() < ALLEYS:
        widths = (rng.uniform(1.8, 3.2), rng.uniform(1.8, 3.2))
        pedestrian, blind = rng.random() < 0.5, LEFT if rng.random() < 0.5 else RIGHT
        return Corridor(rng.uniform(1.0, 2.5), 0.0, (0.0, 0.0), widths, pedestrian, blind)
    verges = [rng.uniform(0.9, 2.2) if rng.random() < 0.5 else 0.0 for _ in range(2)]
    widths = (rng.uniform(1.8, 4.2), rng.uniform(1.8, 4.2))
    return Corridor(rng.uniform(2.6, 6.0), 0.22, (verges[0], verges[1]), widths)


def draw_crossing(rng: np.random.Generator, corridor: Corridor) -> Crossing | None:
    """Draw a side street to the left, right or both in three of five streets, else return None."""
    if corridor.blind or rng.random() < 0.4:
        return None
    left, right = ((True, False), (False, True), (True, True))[rng.integers(3)]
    start, pavement = rng.uniform(9, 32), rng.uniform(1.5, 3.0)
    width = rng.uniform(5, 9) + 2 * pavement
    return Crossing(start, start + width, left, right, pavement, zebra=rng.random() < 0.6)


def draw_ground(rng: np.random.Generator, materials: Materials, corridor: Corridor) -> Ground:
    """Lay the strips of the corridor, from the far left to the far right."""
    road, pavement, lawn = materials.road(), materials.pavement(rng), materials.lawn()
    kerb = materials.add(Surface(PAVEMENT, (0.62, 0.61, 0.58), Tile.PLASTER, 48.0, 0.08))
    paint = materials.add(Surface(ROAD, (0.86, 0.86, 0.83), Tile.ASPHALT, 64.0, 0.08))
    carriageway = pavement if corridor.pedestrian else road
    walkway = carriageway if corridor.blind else pavement
    left = tuple(-x for x in reversed(corridor.borders(LEFT)))
    dash = None
    if not corridor.blind and corridor.half_width > 3.0 and rng.random() < 0.55:
        period = rng.uniform(4.0, 9.0)
        dash = (period * rng.uniform(0.35, 0.6), period)
    return Ground(
        edges=left + corridor.borders(RIGHT),
        strips=(lawn, walkway, lawn, kerb, carriageway, kerb, lawn, walkway, lawn),
        half_width=corridor.half_width,
        road=road,
        pavement=pavement,
        paint=paint,
        dash=dash,
    )
