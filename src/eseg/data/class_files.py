"""Classes of named data sets, from the CSV files in this folder."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from importlib import resources

from eseg.data.folder import ClassConfig
from eseg.runtime.class_table import ClassTable, Colour


def read_rows(name: str) -> list[tuple[str, Colour, list[str]]]:
    """Read `<name>.csv`: name, colour and further columns of each class, in the file's order."""
    with resources.files("eseg.data").joinpath(f"{name}.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return [
        (label, (int(red), int(green), int(blue)), further)
        for label, red, green, blue, *further in rows
    ]


def read_classes(name: str) -> ClassTable:
    """Read names and colours from `<name>.csv`."""
    names, colours, _ = zip(*read_rows(name), strict=True)
    return ClassTable(names, colours)


def with_ids(classes: ClassTable, values: Iterable[int]) -> tuple[ClassConfig, ...]:
    """Describe classes of which each has one value in the masks."""
    rows = zip(classes.names, classes.colours, values, strict=True)
    return tuple(ClassConfig(name, colour, (value,)) for name, colour, value in rows)
