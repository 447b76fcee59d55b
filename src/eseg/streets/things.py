"""Objects on the ground: cars, people, lamps, signs and street trees, in metres."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

Colour: TypeAlias = tuple[float, float, float]
"""RGB in [0, 1], before light and haze."""


class CarShape(Enum):
    """Side profiles of cars."""

    SALOON = "saloon"
    HATCHBACK = "hatchback"
    SUV = "suv"
    VAN = "van"


@dataclass(frozen=True)
class Car:
    """A car at the `distance` of its nearest point.

    It drives `away` from the camera or towards it, or, if `across`, to the right or left.
    """

    x: float
    distance: float
    shape: CarShape
    colour: Colour
    away: bool
    across: bool


@dataclass(frozen=True)
class Person:
    """A pedestrian; `stride` in [-1, 1] opens the legs and `turn` narrows the shoulders."""

    x: float
    distance: float
    height: float
    top: Colour
    trousers: Colour
    skin: Colour
    hair: Colour
    stride: float
    turn: float


@dataclass(frozen=True)
class Lamp:
    """A lamp pole whose arm reaches `reach` metres sideways."""

    x: float
    distance: float
    height: float
    width: float
    colour: Colour
    reach: float


class SignShape(Enum):
    """Kinds of traffic signs."""

    PROHIBITION = "prohibition"
    WARNING = "warning"
    MANDATORY = "mandatory"
    STOP = "stop"
    PRIORITY = "priority"
    PARKING = "parking"


@dataclass(frozen=True)
class Sign:
    """A traffic sign of `size` metres, its centre at `height`, on its own post."""

    x: float
    distance: float
    height: float
    size: float
    shape: SignShape
    width: float
    colour: Colour


@dataclass(frozen=True)
class Tree:
    """A street tree with one of the crown shapes, `radius` metres wide to each side."""

    x: float
    distance: float
    radius: float
    stem: float
    width: float
    crown: int
    flip: bool
    leaves: Colour
    bark: Colour


Thing: TypeAlias = Car | Person | Lamp | Sign | Tree
