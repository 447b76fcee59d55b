"""Random layout of a whole street, in metres: ground plan, sides, things and camera."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eseg.streets.classes import PAVEMENT, ROAD
from eseg.streets.placement import draw_things
from eseg.streets.scene import LEFT, RIGHT, Camera, Corridor, Crossing, Ground, Scene, Surface
from eseg.streets.sides import draw_backdrop, draw_sides
from eseg.streets.style import Materials, draw_weather, pick
from eseg.streets.textures import Tile

ALLEYS = 0.34
"""Share of the streets that are alleys."""


def draw_scene(rng: np.random.Generator) -> Scene:
    """Draw a street.

    It does not depend on the picture's size: one state of the generator gives one street.
    """
    weather = draw_weather(rng)
    materials = Materials.draw(rng)
    corridor = draw_corridor(rng)
    corridor = replace(corridor, crossing=_draw_crossing(rng, corridor))
    end = rng.uniform(60, 150)
    camera = _draw_camera(rng, corridor)
    return Scene(
        camera=camera,
        weather=weather,
        ground=_draw_ground(rng, materials, corridor),
        planes=draw_sides(rng, materials, corridor, end),
        backdrop=draw_backdrop(rng, materials, end),
        end=end,
        curve=rng.uniform(-0.004, 0.004) if rng.random() < 0.45 else 0.0,
        crossing=corridor.crossing,
        things=draw_things(rng, corridor, camera, materials.leaves),
        grain=(int(rng.integers(512)), int(rng.integers(512))),
        surfaces=tuple(materials.surfaces),
    )


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


def _draw_crossing(rng: np.random.Generator, corridor: Corridor) -> Crossing | None:
    """Draw a side street to the left, right or both in three of five streets, else return None."""
    if corridor.blind or rng.random() < 0.4:
        return None
    left, right = pick(rng, ((True, False), (False, True), (True, True)))
    start, pavement = rng.uniform(9, 32), rng.uniform(1.5, 3.0)
    width = rng.uniform(5, 9) + 2 * pavement
    return Crossing(start, start + width, left, right, pavement, zebra=rng.random() < 0.6)


def _draw_ground(rng: np.random.Generator, materials: Materials, corridor: Corridor) -> Ground:
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


def _draw_camera(rng: np.random.Generator, corridor: Corridor) -> Camera:
    """Place the camera on a car in a lane, or on a delivery robot on a pavement or in an alley."""
    if corridor.blind:
        x = corridor.blind * (corridor.borders(corridor.blind)[-1] - rng.uniform(1.2, 2.4))
        height, bonnet = rng.uniform(1.0, 1.7), 0.0
        vanish = 0.5 - corridor.blind * rng.uniform(0.08, 0.24)
    elif rng.random() < 0.42:
        side = LEFT if rng.random() < 0.5 else RIGHT
        _, _, inner, outer = corridor.borders(side)
        x = side * rng.uniform(0.65 * inner + 0.35 * outer, 0.4 * inner + 0.6 * outer)
        height, bonnet = rng.uniform(1.0, 1.7), 0.0
        # The camera faces the street rather than the wall beside it.
        vanish = 0.5 + side * rng.uniform(-0.05, 0.25)
    else:
        x = rng.uniform(-0.75, 0.75) * max(corridor.half_width - 1.0, 0.5)
        height = rng.uniform(1.3, 2.3)
        bonnet = rng.uniform(0.06, 0.12) if rng.random() < 0.25 else 0.0
        vanish = rng.uniform(0.26, 0.74)
    red, green, blue = rng.uniform(0.86, 1.16) * rng.normal(1.0, 0.03, 3)
    return Camera(
        x=x,
        height=height,
        focal=rng.uniform(1.25, 1.75),
        horizon=rng.uniform(0.36, 0.56),
        vanish=vanish,
        roll=rng.normal(0.0, 0.012),
        noise=rng.uniform(2.5, 7.5),
        exposure=(float(red), float(green), float(blue)),
        bonnet=bonnet,
    )
