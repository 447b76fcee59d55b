"""Class table of the street scenes."""

from __future__ import annotations

from typing import Final

from eseg.runtime.class_table import ClassTable

_COLOURS = {
    "road": (128, 64, 128),
    "pavement": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (190, 153, 153),
    "sky": (70, 130, 180),
    "tree": (107, 142, 35),
    "grass": (152, 251, 152),
    "pole": (250, 170, 30),
    "sign": (220, 220, 0),
    "car": (0, 0, 142),
    "person": (220, 20, 60),
}

CLASSES: Final = ClassTable(names=tuple(_COLOURS), colours=tuple(_COLOURS.values()))

ROAD, PAVEMENT, BUILDING, WALL, SKY, TREE, GRASS, POLE, SIGN, CAR, PERSON = range(len(CLASSES))
