"""Random layout of a whole street, in metres."""

from __future__ import annotations

import numpy as np

from eseg.streets.ground import LEFT, RIGHT, Corridor, draw_corridor, draw_crossing, draw_ground
from eseg.streets.placement import draw_things
from eseg.streets.scene import Camera, Scene
from eseg.streets.sides import draw_backdrop, draw_sides
from eseg.streets.style import Materials, draw_weather


def draw_scene(rng: np.random.Generator) -> Scene:
    """Draw a street.

    It does not depend on the picture's size: one state of the generator gives one street.
    """
    weather = draw_weather(rng)
    materials = Materials.draw(rng)
    corridor = draw_corridor(rng)
    crossing = draw_crossing(rng, corridor)
    end = rng.uniform(60, 150)
    camera = _draw_camera(rng, corridor)
    return Scene(
        camera=camera,
        weather=weather,
        ground=draw_ground(rng, materials, corridor),
        planes=draw_sides(rng, materials, corridor, crossing, end),
        backdrop=draw_backdrop(rng, materials, end),
        end=end,
        curve=rng.uniform(-0.004, 0.004) if rng.random() < 0.45 else 0.0,
        crossing=crossing,
        things=draw_things(rng, corridor, crossing, camera, materials.leaves),
        grain=(int(rng.integers(512)), int(rng.integers(512))),
        surfaces=tuple(materials.surfaces),
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
