"""Checks of the facts about files, with training's own messages where there are any."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from statistics import median

from eseg.data.folder import FolderConfig, check_sizes
from eseg.doctor.facts import MaskFacts, PairFacts, Value
from eseg.doctor.findings import Finding, counted, some
from eseg.errors import DataError, Fault
from eseg.runtime.class_table import IGNORE_INDEX

ODD_SIZE = 4.0
"""Factor by which an image's shorter side is larger or smaller than usual."""

_OWN_PALETTE = 0.9
"""Least share of class colours in a palette that counts as the data set's own."""

_QUARTER_TURNS = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""


def error_findings(config: FolderConfig, facts: Sequence[PairFacts]) -> Iterator[Finding]:
    """Report what training refuses: one finding per kind of fault, with all its files."""
    groups: dict[Fault | None, list[tuple[str, Path]]] = defaultdict(list)
    for pair in facts:
        for error, path in pair.errors:
            groups[error.fault].append((str(error), path))
        if pair.image and pair.mask and pair.mask_path:
            images, masks = (pair.image_path, pair.image.size), (pair.mask_path, pair.mask.size)
            try:
                check_sizes(images, masks)
            except DataError as error:
                groups[error.fault].append((str(error), pair.mask_path))
    for fault, found in groups.items():
        files, proposal = tuple(path for _, path in found), ""
        if fault == "colours for ids":
            paths = set(files)
            painted = [pair.mask for pair in facts if pair.mask and pair.mask_path in paths]
            proposal = _propose_colours(config, painted)
        yield Finding(fault or "unreadable file", found[0][0], files, proposal)
    yield from _unknown_values(config, facts)
    yield from _palettes(config, facts)


def unlisted_values(
    config: FolderConfig, mask: MaskFacts, labels: Mapping[Value, int]
) -> list[Value]:
    """Return the values of a mask that belong to no class and are not ignored."""
    if mask.stored != config.mask_values:
        return []
    return [value for value in mask.values if value not in labels]


def contradicting_palette(
    config: FolderConfig, mask: MaskFacts, labels: Mapping[Value, int]
) -> list[tuple[int, int]]:
    """Find indices of a palette mask that mean one class but have the colour of another.

    Only palettes of the classes' own colours are considered. In others, such as that of VOC, equal
    colours are coincidences.

    Returns:
        Each index with the id of the class whose colour it has.
    """
    if config.mask_values == "colours":
        return []
    colours = [entry.colour for entry in config.classes]
    shown = {
        index: colour
        for index, colour in mask.palette.items()
        if labels.get(index, IGNORE_INDEX) != IGNORE_INDEX
    }
    known = [index for index, colour in shown.items() if colours.count(colour) == 1]
    if len(shown) < 2 or len(known) < _OWN_PALETTE * len(shown):
        return []
    return [
        (index, colours.index(shown[index]))
        for index in known
        if colours[labels[index]] != shown[index]
    ]


def _propose_colours(config: FolderConfig, masks: Sequence[MaskFacts]) -> str:
    """Describe the meaning of the masks' colours according to the colours of the classes."""
    names = {entry.colour: entry.name for entry in config.classes}
    pixels: Counter[Value] = Counter()
    for mask in masks:
        pixels.update(mask.values)
    ordered = [value for value, _ in pixels.most_common()]
    known = [f"{value} is {names[value]}" for value in ordered if value in names]
    other = [str(value) for value in ordered if value not in names]
    parts = []
    if known:
        parts.append(f"by the colours of the classes {some(known)}")
    if other:
        parts.append(f"{some(other)} belong to no class")
    return "; ".join(parts)


def warning_findings(
    config: FolderConfig, split: str, facts: Sequence[PairFacts]
) -> Iterator[Finding]:
    """Report faults with which training runs but that should be corrected."""
    labels = config.labels_by_value()
    empty = [
        pair
        for pair in facts
        if pair.mask
        and pair.mask.stored == config.mask_values
        and all(labels.get(value) == IGNORE_INDEX for value in pair.mask.values)
    ]
    if empty:
        yield Finding(
            "all ignored",
            f"{empty[0].mask_path}: no pixel has a label ({counted(len(empty), 'such mask')} in "
            f"split '{split}'): nothing is learnt or measured on it; label it, or remove the "
            "pair",
            tuple(pair.mask_path for pair in empty if pair.mask_path),
        )
    yield from _orientations(split, facts)
    yield from _odd_sizes(split, facts)


def masks_without_image(config: FolderConfig, split: str, known: set[Path]) -> Iterator[Finding]:
    """Report masks of a split's template that no image has; `known` are the masks of all splits."""
    described = config.splits[split]
    if described.masks is None or described.is_list:
        return
    fixed, pattern = _as_pattern(described.masks)
    images = {path for images in described.images for path in config.root.glob(images)}
    found = sorted(set((config.root / fixed).glob(pattern)) - known - images)
    if found:
        yield Finding(
            "mask without image",
            f"{found[0]}: there is no image for this mask ({counted(len(found), 'such mask')} for "
            f"split '{split}'): it is not used; add the image, or widen "
            f"splits.{split}.images in the data set's YAML",
            tuple(found),
        )


def _as_pattern(template: str) -> tuple[str, str]:
    """Split a mask template into a folder and a pattern for `Path.glob` below it."""
    parts = PurePosixPath(template).parts
    fixed = list(itertools.takewhile(lambda part: "{" not in part, parts))
    rest = "/".join(parts[len(fixed) :])
    return "/".join(fixed), rest.replace("{folder}", "**").replace("{stem}", "*")


def _unknown_values(config: FolderConfig, facts: Sequence[PairFacts]) -> Iterator[Finding]:
    labels = config.labels_by_value()
    masks: list[Path] = []
    by_value: Counter[Value] = Counter()
    for pair in facts:
        unlisted = unlisted_values(config, pair.mask, labels) if pair.mask else []
        if unlisted and pair.mask_path:
            masks.append(pair.mask_path)
            by_value.update(unlisted)
    if masks:
        values = [f"{value} (in {counted(n, 'mask')})" for value, n in by_value.most_common()]
        message = f"{masks[0]}: was changed during the examination; repeat it"
        try:
            config.mask_reader()(masks[0])
        except DataError as error:  # training's own message
            message = str(error)
        yield Finding("unknown value", message, tuple(masks), f"no label for {some(values)}")


def _palettes(config: FolderConfig, facts: Sequence[PairFacts]) -> Iterator[Finding]:
    labels = config.labels_by_value()
    found = [
        (pair, contradicting_palette(config, pair.mask, labels)) for pair in facts if pair.mask
    ]
    found = [(pair, wrong) for pair, wrong in found if wrong]
    if not found:
        return
    pair, wrong = found[0]
    names = [entry.name for entry in config.classes]
    index, meant = wrong[0]
    mapping = [f"{index} is {names[label]}" for index, label in wrong]
    yield Finding(
        "palette for ids",
        f"{pair.mask_path}: in its palette the index {index}, which means "
        f"'{names[labels[index]]}', has the colour of '{names[meant]}' "
        f"({counted(len(found), 'such mask')}): either its colours or its indices are wrong; "
        "export it again with the ids as indices, or set `mask_values: colours` in the data set's "
        "YAML if the colours of all masks are right",
        tuple(pair.mask_path for pair, _ in found if pair.mask_path),
        f"by the colours of the classes {some(mapping)}",
    )


def _orientations(split: str, facts: Sequence[PairFacts]) -> Iterator[Finding]:
    """Report images that EXIF turns differently from their masks, unless the sizes prove it right.

    Different sizes are another finding. Equal sizes prove a quarter turn right unless the picture
    is square.
    """
    unclear: list[tuple[PairFacts, int, int]] = []
    for pair in facts:
        if pair.image and pair.mask and pair.image.size == pair.mask.size:
            of_image, of_mask = pair.image.orientation, pair.mask.orientation
            height, width = pair.image.size
            is_turned = of_image in _QUARTER_TURNS or of_mask in _QUARTER_TURNS
            if of_image != of_mask and not (height != width and is_turned):
                unclear.append((pair, of_image, of_mask))
    if unclear:
        pair, of_image, of_mask = unclear[0]
        yield Finding(
            "EXIF orientation",
            f"{pair.image_path}: EXIF orientation {of_image} turns the image, and its mask "
            f"{pair.mask_path} has orientation {of_mask} "
            f"({counted(len(unclear), 'such pair')} in split '{split}'): if the mask was drawn "
            "over the unturned image, every label is in the wrong place; look at the pair, and "
            "export image and mask upright, without EXIF",
            tuple(pair.image_path for pair, _, _ in unclear),
        )


def _odd_sizes(split: str, facts: Sequence[PairFacts]) -> Iterator[Finding]:
    sides = {pair.image_path: min(pair.image.size) for pair in facts if pair.image}
    if not sides:
        return
    usual = median(sides.values())
    odd = [
        pair
        for pair in facts
        if pair.image and not usual / ODD_SIZE <= min(pair.image.size) <= usual * ODD_SIZE
    ]
    if odd and odd[0].image:
        height, width = odd[0].image.size
        yield Finding(
            "odd size",
            f"{odd[0].image_path}: {width}x{height} (width x height), where the shorter side is "
            f"{usual:g} pixels in the median image of split '{split}' "
            f"({counted(len(odd), 'such image')}): objects in it have another scale; remove "
            "it if it is a thumbnail or from another camera, or resize it",
            tuple(pair.image_path for pair in odd),
        )
