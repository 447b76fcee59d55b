"""Proposal of classes for masks without description."""

from __future__ import annotations

import colorsys
import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TypeVar

from eseg.data.folder import ClassConfig
from eseg.data.mask_values import MaskValues
from eseg.doctor.facts import MaskFacts, Value
from eseg.errors import DataError
from eseg.runtime.class_table import MAX_CLASSES, Colour

ValueT = TypeVar("ValueT", int, Colour)

_NO_LABEL = (255, 65_535)
"""Ids that mean 'no label' by convention."""

_NAME_FILES = re.compile(
    r"_?(class|classes|class_?names|labels?|label_?map|label_colou?rs|names)"
    r"\.(txt|csv)"
)
_NO_LABEL_NAMES = re.compile(r"void|ignored?|(un|not?[ _-]?)label(l?ed)?", re.IGNORECASE)
"""Names that mean 'no label' by convention."""

_OUTLYING = 4
"""A mask with more than so many times the usual number of values may not be one of classes."""
_ALWAYS_ORDINARY = 16
"""Number of values that any mask may have."""
_RAMP = 32
"""Least number of rare values between two common ones that is taken for smoothed edges."""
_RAMP_ENDS = 0.8
"""Least share of the pixels that the two common values have."""
_RAMP_RARE = 0.01
"""Largest share of the pixels that a rare value has."""
_GOLDEN = 0.618033988749895
"""Share of the hue circle between successive colours, which keeps any number of them distinct."""


@dataclass(frozen=True)
class Proposal:
    """Proposed meaning of the values in masks."""

    mask_values: MaskValues  # kind of values that the masks store
    classes: tuple[ClassConfig, ...]  # one per value
    ignore_index: tuple[int, ...]  # ids that mean 'no label'
    ignore_colours: tuple[Colour, ...] = ()  # colours that mean 'no label'


def propose_classes(folders: Sequence[Path], masks: Sequence[MaskFacts]) -> Proposal:
    """Propose one class per value, ignoring masks that are unlike all others.

    Names come from a list of names (classes.txt, label_colors.txt, _classes.csv, labelmap.txt, ...)
    if there is one; names such as void and unlabelled mean 'no label'. So do the ids 255 and 65535,
    unless the only ids are 0 and 255.

    Args:
        folders: The data set's folder, and others that may hold a list of names.
        masks: All masks that could be read; at least one.

    Raises:
        DataError: There are more values than classes are possible, or they are smoothed edges.
    """
    folder, names = folders[0], _names_beside(folders)
    masks = _ordinary(masks)
    in_colours = sum(mask.stored == "colours" for mask in masks)
    if in_colours * 2 > len(masks):
        painted = [mask.values for mask in masks if mask.stored == "colours"]
        return _by_colours(folder, names, painted)
    ids = [mask for mask in masks if mask.stored == "ids"]
    palettes = [mask.palette for mask in ids if mask.palette]
    if len(palettes) * 2 > len(ids) and _disagree(palettes):
        painted = [
            [mask.palette[value] for value in mask.values if value in mask.palette] for mask in ids
        ]
        return _by_colours(folder, names, painted)
    return _by_ids(folder, names, ids)


def _ordinary(masks: Sequence[MaskFacts]) -> Sequence[MaskFacts]:
    """Drop masks with far more values than usual, most of which no other mask has."""
    limit = max(_ALWAYS_ORDINARY, _OUTLYING * median(len(mask.values) for mask in masks))
    usual = {value for mask in masks if len(mask.values) <= limit for value in mask.values}
    return [
        mask
        for mask in masks
        if len(mask.values) <= limit or 2 * len(mask.values.keys() & usual) >= len(mask.values)
    ]


def _is_ramp(masks: Sequence[MaskFacts]) -> bool:
    """Return whether two values fill the masks and many rare ones lie between them."""
    pixels: Counter[Value] = Counter()
    for mask in masks:
        pixels.update(mask.values)
    ends, rest = pixels.most_common(2), pixels.most_common()[2:]
    if len(rest) < _RAMP or {value for value, _ in ends} != {min(pixels), max(pixels)}:
        return False
    total = pixels.total()
    filled = sum(count for _, count in ends)
    return filled >= _RAMP_ENDS * total and rest[0][1] < _RAMP_RARE * total


def distinct_colours(number: int) -> list[Colour]:
    """Return distinct colours, the same at every call."""
    colours: list[Colour] = []
    for index in range(number):
        red, green, blue = colorsys.hsv_to_rgb(
            index * _GOLDEN % 1, (0.85, 0.55)[index % 2], (0.9, 0.65, 0.8)[index % 3]
        )
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours


def _by_ids(folder: Path, names: Mapping[Value, str], masks: Sequence[MaskFacts]) -> Proposal:
    values = sorted({value for mask in masks for value in mask.values if isinstance(value, int)})
    ignored = () if values == [0, 255] else tuple(value for value in values if value in _NO_LABEL)
    kept = [value for value in values if value not in ignored]
    if len(kept) > MAX_CLASSES or _is_ramp(masks):
        raise _not_classes(folder, kept, "ids")
    if kept and (min(kept) < 0 or max(kept) > max(_NO_LABEL)):
        raise DataError(
            f"{folder}: masks hold ids from {min(kept)} to {max(kept)}; they must fit 16 bits"
        )
    painted = {
        value: mask.palette[value] for mask in masks for value in kept if value in mask.palette
    }
    colours = distinct_colours(len(kept))
    if len(set(painted.values())) == len(kept):
        colours = [painted[value] for value in kept]
    binary = {0: "background", 255: "object"} if values == [0, 255] else {}
    by_colour = {value: names[colour] for value, colour in painted.items() if colour in names}
    names = {**by_colour, **names}
    without = _without_label(names, kept)
    classes = [
        ClassConfig(names.get(value) or binary.get(value) or f"class_{value}", colour, (value,))
        for value, colour in zip(kept, colours, strict=True)
        if value not in without
    ]
    ignored = (*ignored, *without) or (() if 255 in kept else (255,))
    return Proposal("ids", _with_distinct_names(classes), ignored)


def _without_label(names: Mapping[Value, str], values: Sequence[ValueT]) -> tuple[ValueT, ...]:
    """Return the values whose names mean 'no label', or none if all names do."""
    found = [value for value in values if _NO_LABEL_NAMES.fullmatch(names.get(value, ""))]
    return tuple(found) if len(found) < len(values) else ()


def _by_colours(
    folder: Path, names: Mapping[Value, str], masks: Iterable[Iterable[Value]]
) -> Proposal:
    colours = sorted({value for mask in masks for value in mask if isinstance(value, tuple)})
    if len(colours) > MAX_CLASSES:
        raise _not_classes(folder, colours, "colours")
    without = _without_label(names, colours)
    classes = [
        ClassConfig(names.get(colour) or "colour_{}_{}_{}".format(*colour), colour)
        for colour in colours
        if colour not in without
    ]
    return Proposal("colours", _with_distinct_names(classes), (), without)


def _not_classes(folder: Path, values: Sequence[Value], kind: MaskValues) -> DataError:
    return DataError(
        f"{folder}: the masks hold {len(values)} different {kind}, such as "
        f"{', '.join(map(str, values[:5]))}: smoothed edges, instances or measurements, not "
        "classes; export them again with one value per class and without smoothing"
    )


def _disagree(palettes: Iterable[dict[int, Colour]]) -> bool:
    """Return whether an index has different colours in different files; then colours are meant."""
    pairs = {pair for palette in palettes for pair in palette.items()}
    return len({index for index, _ in pairs}) < len(pairs)


def _with_distinct_names(classes: Sequence[ClassConfig]) -> tuple[ClassConfig, ...]:
    """Replace names that several classes share."""
    names = [entry.name for entry in classes]
    return tuple(
        entry if names.count(entry.name) == 1 else replace(entry, name=f"{entry.name}_{place}")
        for place, entry in enumerate(classes)
    )


def _names_beside(folders: Sequence[Path]) -> dict[Value, str]:
    """Read names by id and by colour from the first list of names in some folders.

    A line is a name, whose id is the line's position; an id and a name; or a colour and a name.
    """
    for path in (path for folder in folders for path in sorted(folder.iterdir())):
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
            continue  # the heading of a table
        else:
            names[place] = name
        place += 1
    return names
