"""Random placement of cars, people, lamps, signs and street trees."""

from __future__ import annotations

import numpy as np

from eseg.streets.scene import (
    LEFT,
    RIGHT,
    Camera,
    Car,
    CarShape,
    Colour,
    Corridor,
    Lamp,
    Person,
    Sign,
    SignShape,
    Thing,
    Tree,
)
from eseg.streets.style import SIGNALS, STEELS, jitter, pick
from eseg.streets.textures import CROWN_SHAPES

_PAINTS: tuple[Colour, ...] = (
    (0.85, 0.85, 0.84),
    (0.62, 0.64, 0.66),
    (0.13, 0.13, 0.14),
    (0.33, 0.34, 0.36),
    (0.74, 0.10, 0.10),
    (0.10, 0.27, 0.62),
    (0.10, 0.38, 0.24),
    (0.92, 0.73, 0.14),
    (0.45, 0.62, 0.70),
)
# Trunks and lamp poles look alike from nearby and differ only in the crown.
_BARKS: tuple[Colour, ...] = ((0.33, 0.27, 0.22), (0.40, 0.39, 0.37), (0.24, 0.24, 0.22))
_SKINS: tuple[Colour, ...] = ((0.90, 0.72, 0.60), (0.76, 0.56, 0.42), (0.50, 0.34, 0.25))
_HAIRS: tuple[Colour, ...] = ((0.16, 0.12, 0.10), (0.42, 0.28, 0.16), (0.75, 0.62, 0.38))


def draw_things(
    rng: np.random.Generator, corridor: Corridor, camera: Camera, leaves: Colour
) -> tuple[Thing, ...]:
    """Place all movable and all slender things, at a distance of at least a few metres."""
    things: list[Thing] = []
    if not corridor.blind:
        things += _parked_cars(rng, corridor)
        things += _moving_cars(rng, corridor, camera)
    things += _people(rng, corridor)
    for side in (LEFT, RIGHT):
        things += _furniture(rng, corridor, side, leaves)
    return tuple(things)


def _car(rng: np.random.Generator, x: float, distance: float, away: bool, across: bool) -> Car:
    shape = list(CarShape)[rng.choice(len(CarShape), p=[0.3, 0.3, 0.25, 0.15])]
    paint = jitter(rng, pick(rng, _PAINTS), 0.03)
    return Car(x, distance, shape, paint, away, across)


def _parked_cars(rng: np.random.Generator, corridor: Corridor) -> list[Thing]:
    cars: list[Thing] = []
    for side in (LEFT, RIGHT):
        if rng.random() < 0.3:
            continue
        x = side * (corridor.half_width - 1.05)
        distance = rng.uniform(4.5, 14.0)
        while distance < 38.0:
            if rng.random() < 0.6 and not corridor.in_crossing(distance, 5.0):
                cars.append(_car(rng, x, distance, away=side == RIGHT, across=False))
            distance += rng.uniform(5.6, 9.0)
    return cars


def _moving_cars(rng: np.random.Generator, corridor: Corridor, camera: Camera) -> list[Thing]:
    cars: list[Thing] = []
    crossing, lane = corridor.crossing, 0.4 * corridor.half_width
    on_road = abs(camera.x) < corridor.half_width
    if rng.random() < 0.6:
        nearest = 9.0 if on_road else 6.0
        cars.append(_car(rng, lane, rng.uniform(nearest, 30.0), away=True, across=False))
    if corridor.half_width > 3.4 and rng.random() < 0.6:
        cars.append(_car(rng, -lane, rng.uniform(8.0, 32.0), away=False, across=False))
    if crossing is not None and rng.random() < 0.55:
        distance = 0.5 * (crossing.start + crossing.end) - 0.9
        reach = corridor.half_width + 3.0
        left, right = (-reach if crossing.left else 0.0), (reach if crossing.right else 0.0)
        x = rng.uniform(left, right)
        cars.append(_car(rng, x, distance, away=rng.random() < 0.5, across=True))
    return cars


def _people(rng: np.random.Generator, corridor: Corridor) -> list[Thing]:
    people: list[Thing] = []
    for _ in range(rng.integers(3, 7)):
        side = LEFT if rng.random() < 0.5 else RIGHT
        _, _, inner, outer = corridor.borders(side)
        x = side * rng.uniform(inner + 0.3, outer - 0.4)
        if corridor.blind or rng.random() < 0.12:
            x = rng.uniform(-1.0, 1.0) * corridor.half_width
        people.append(
            Person(
                x=x,
                distance=rng.uniform(3.8, 10.5),
                height=rng.uniform(1.55, 1.92),
                top=_clothes(rng, 0.2, 0.9),
                trousers=_clothes(rng, 0.1, 0.45),
                skin=pick(rng, _SKINS),
                hair=pick(rng, _HAIRS),
                stride=rng.uniform(-1.0, 1.0),
                turn=rng.uniform(0.7, 1.0),
            )
        )
    return people


def _clothes(rng: np.random.Generator, darkest: float, brightest: float) -> Colour:
    if rng.random() < 0.3:
        return jitter(rng, pick(rng, SIGNALS), 0.05)
    value, tint = rng.uniform(darkest, brightest), rng.uniform(-0.25, 0.25, 3)
    red, green, blue = np.clip(value + tint, 0.05, 0.95)
    return float(red), float(green), float(blue)


def _furniture(
    rng: np.random.Generator, corridor: Corridor, side: int, leaves: Colour
) -> list[Thing]:
    """Place lamps, signs and trees of one side in a line behind the kerb, at some distance."""
    kerb = corridor.borders(side)[1]
    line = side * (kerb + 0.45)
    taken: list[float] = []

    def is_free(distance: float, gap: float) -> bool:
        far_enough = all(abs(distance - other) > gap for other in taken)
        free = far_enough and not corridor.in_crossing(distance)
        if free:
            taken.append(distance)
        return free

    things: list[Thing] = []
    steel = jitter(rng, pick(rng, STEELS))
    height, width = rng.uniform(5.0, 7.5), rng.uniform(0.28, 0.40)
    spacing = rng.uniform(9.0, 15.0)
    if rng.random() < 0.7:
        for place in range(2):
            distance = rng.uniform(4.5, 8.0) + place * spacing
            if is_free(distance, 1.0):
                things.append(Lamp(line, distance, height, width, steel, -side * 1.3))
    wanted, signs = rng.integers(1, 3), 0
    for _ in range(8):
        distance, shape = rng.uniform(5.0, 13.0), pick(rng, list(SignShape))
        size, middle = rng.uniform(1.0, 1.4), rng.uniform(2.1, 2.9)
        if signs < wanted and is_free(distance, 1.6):
            things.append(Sign(line, distance, middle, size, shape, 0.2, steel))
            signs += 1
    if rng.random() < 0.62:
        radius, spacing = rng.uniform(1.5, 2.7), rng.uniform(7.0, 13.0)
        distance = rng.uniform(5.0, 12.0)
        while distance < 50.0:
            tree = Tree(
                x=side * (kerb + 0.6),
                distance=distance,
                radius=radius * rng.uniform(0.85, 1.15),
                stem=rng.uniform(1.9, 2.6),
                width=rng.uniform(0.26, 0.4),
                crown=int(rng.integers(CROWN_SHAPES)),
                flip=rng.random() < 0.5,
                leaves=jitter(rng, leaves, 0.015),
                bark=jitter(rng, pick(rng, _BARKS), 0.03),
            )
            if is_free(distance, 1.5):
                things.append(tree)
            distance += spacing * rng.uniform(0.8, 1.3)
    return things
