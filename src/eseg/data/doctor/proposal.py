"""Classes for masks that nobody has described."""

from __future__ import annotations

import colorsys
import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eseg.data.dataset import MAX_CLASSES, DataError
from eseg.data.doctor.facts import MaskFacts, Value
from eseg.data.folder import ClassConfig
from eseg.data.labels import Colour, MaskValues

_NO_LABEL = (255, 65_535)
"""Ids that mean 'no label' by custom."""

_NAME_FILES = re.compile(r"_?(class|classes|class_?names|labels?|label_colou?rs|names)\.(txt|csv)")
_GOLDEN = 0.618033988749895
"""Part of the circle of hues between neighbours: any number of them stay apart."""


@dataclass(frozen=True)
class Proposal:
    """What the values in masks are taken to mean.

    Attributes:
        mask_values: Whether the masks store ids or colours.
        classes: One per value.
        ignore_index: Ids that mean 'no label'.
    """

    mask_values: MaskValues
    classes: tuple[ClassConfig, ...]
    ignore_index: tuple[int, ...]


def propose_classes(folder: Path, masks: Sequence[MaskFacts]) -> Proposal:
    """Propose one class for each value.

    Names come from a list of names in the folder (classes.txt, label_colors.txt, _classes.csv, ...)
    where there is one. 255 and 65535 mean 'no label', unless 0 and 255 are all there is.

    Args:
        folder: The data set.
        masks: All that could be read; at least one.

    Raises:
        DataError: There are more values than classes can be.
    """
    in_colours = sum(mask.stored == "colours" for mask in masks)
    if in_colours * 2 > len(masks):
        return _by_colours(folder, [mask.values for mask in masks if mask.stored == "colours"])
    ids = [mask for mask in masks if mask.stored == "ids"]
    palettes = [mask.palette for mask in ids if mask.palette]
    if len(palettes) * 2 > len(ids) and _disagree(palettes):
        painted = [
            {
                mask.palette[value]: count
                for value, count in mask.values.items()
                if value in mask.palette
            }
            for mask in ids
        ]
        return _by_colours(folder, painted)
    return _by_ids(folder, ids)


def distinct_colours(number: int) -> list[Colour]:
    """Colours that are told apart, the same at every call."""
    colours: list[Colour] = []
    for index in range(number):
        red, green, blue = colorsys.hsv_to_rgb(
            index * _GOLDEN % 1, (0.85, 0.55)[index % 2], (0.9, 0.65, 0.8)[index % 3]
        )
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours


def _by_ids(folder: Path, masks: Sequence[MaskFacts]) -> Proposal:
    values = sorted({value for mask in masks for value in mask.values if isinstance(value, int)})
    ignored = () if values == [0, 255] else tuple(value for value in values if value in _NO_LABEL)
    kept = [value for value in values if value not in ignored]
    _refuse_too_many(folder, kept, "ids")
    if kept and (min(kept) < 0 or max(kept) > max(_NO_LABEL)):
        raise DataError(
            f"{folder}: masks hold ids from {min(kept)} to {max(kept)}; they must fit 16 bits"
        )
    names = _names_beside(folder)
    painted = {
        value: mask.palette[value] for mask in masks for value in kept if value in mask.palette
    }
    colours = distinct_colours(len(kept))
    if len(set(painted.values())) == len(kept):
        colours = [painted[value] for value in kept]
    binary = {0: "background", 255: "object"} if values == [0, 255] else {}
    classes = [
        ClassConfig(names.get(value) or binary.get(value) or f"class_{value}", colour, (value,))
        for value, colour in zip(kept, colours, strict=True)
    ]
    return Proposal(
        "ids", _with_distinct_names(classes), ignored or (() if 255 in kept else (255,))
    )


def _by_colours(folder: Path, masks: Iterable[Iterable[Value]]) -> Proposal:
    colours = sorted({value for mask in masks for value in mask if isinstance(value, tuple)})
    _refuse_too_many(folder, colours, "colours")
    names = _names_beside(folder)
    classes = [
        ClassConfig(names.get(colour) or "colour_{}_{}_{}".format(*colour), colour)
        for colour in colours
    ]
    return Proposal("colours", _with_distinct_names(classes), ())


def _refuse_too_many(folder: Path, values: Sequence[Value], what: str) -> None:
    if len(values) > MAX_CLASSES:
        raise DataError(
            f"{folder}: the masks hold {len(values)} different {what}, such as "
            f"{', '.join(map(str, values[:5]))}: smoothed edges, instances or measurements, but no "
            "classes; export them again with one value per class and without smoothing"
        )


def _disagree(palettes: Iterable[dict[int, Colour]]) -> bool:
    """Whether an index has different colours in different files: then only the colours mean."""
    colours: dict[int, set[Colour]] = defaultdict(set)
    for palette in palettes:
        for index, colour in palette.items():
            colours[index].add(colour)
    return any(len(of_index) > 1 for of_index in colours.values())


def _with_distinct_names(classes: Sequence[ClassConfig]) -> tuple[ClassConfig, ...]:
    """The same, without the names that two of them share."""
    names = [entry.name for entry in classes]
    return tuple(
        entry
        if names.count(entry.name) == 1
        else ClassConfig(f"{entry.name}_{place}", entry.colour, entry.ids)
        for place, entry in enumerate(classes)
    )


def _names_beside(folder: Path) -> dict[Value, str]:
    """Names by id and by colour, from a list of names in the folder.

    A line is a name, the ids being the lines' places; or an id and a name; or a colour and a name.
    """
    for path in sorted(folder.iterdir()):
        if path.is_file() and _NAME_FILES.fullmatch(path.name.lower()):
            try:
                text = path.read_text(encoding="utf-8-sig")
            except UnicodeDecodeError:
                continue
            return _parse_names(text)
    return {}


def _parse_names(text: str) -> dict[Value, str]:
    names: dict[Value, str] = {}
    place = 0
    for line in text.splitlines():
        fields = next(csv.reader([re.sub(r"[,;:\t ]+", ",", line.strip()).strip(",")]), [])
        numbers = [int(field) for field in fields if re.fullmatch(r"\d+", field)]
        name = " ".join(field for field in fields if not re.fullmatch(r"\d+", field))
        if not name or line.startswith("#"):
            continue
        if len(numbers) >= 3:
            names[(numbers[-3], numbers[-2], numbers[-1])] = name
        elif numbers:
            names[numbers[0]] = name
        elif "pixel" in name.lower():
            continue  # The heading of a table.
        else:
            names[place] = name
        place += 1
    return names
