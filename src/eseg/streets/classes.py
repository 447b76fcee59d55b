"""The classes of the procedural street scenes."""

from __future__ import annotations

from typing import Final

from eseg.runtime.class_table import ClassTable

CLASSES: Final = ClassTable(
    names=(
        "road",
        "pavement",
        "building",
        "wall",
        "sky",
        "tree",
        "grass",
        "pole",
        "sign",
        "car",
        "person",
    ),
    colours=(
        (128, 64, 128),
        (244, 35, 232),
        (70, 70, 70),
        (190, 153, 153),
        (70, 130, 180),
        (107, 142, 35),
        (152, 251, 152),
        (250, 170, 30),
        (220, 220, 0),
        (0, 0, 142),
        (220, 20, 60),
    ),
)

ROAD, PAVEMENT, BUILDING, WALL, SKY, TREE, GRASS, POLE, SIGN, CAR, PERSON = range(len(CLASSES))
