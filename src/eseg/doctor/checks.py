"""From facts about the files to findings, in the words of training where training has some."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
"""Part of a palette's colours that are those of classes, if the palette is the data set's own."""

_QUARTER_TURNS = (5, 6, 7, 8)


def error_findings(config: FolderConfig, facts: Sequence[PairFacts]) -> Iterator[Finding]:
    """What training refuses, one finding for each sort of fault, every file in it."""
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
    masks_by_path = {pair.mask_path: pair.mask for pair in facts if pair.mask}
    for fault, found in groups.items():
        files = tuple(path for _, path in found)
        proposal = ""
        if fault == "colours for ids":
            found_masks = [masks_by_path[path] for path in files if path in masks_by_path]
            proposal = propose_colours(config, found_masks)
        yield Finding(fault or "unreadable file", found[0][0], files, proposal)
    yield from _unknown_values(config, facts)
    yield from _palettes(config, facts)


def unlisted_values(
    config: FolderConfig, mask: MaskFacts, labels: Mapping[Value, int]
) -> list[Value]:
    """The values of a mask that belong to no class and are not ignored."""
    if mask.stored != config.mask_values:
        return []
    return [value for value in mask.values if value not in labels]


def contradicting_palette(
    config: FolderConfig, mask: MaskFacts, labels: Mapping[Value, int]
) -> list[tuple[int, int]]:
    """Indices of a palette mask that mean one class and have the colour of another.

    Only a palette of the classes' own colours contradicts: in any other, such as that of VOC, a
    colour that a class has too is chance.

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


def propose_colours(config: FolderConfig, masks: Sequence[MaskFacts]) -> str:
    """What the colours of masks mean, by the colours of the classes."""
    names = {entry.colour: entry.name for entry in config.classes}
    pixels: dict[Value, int] = defaultdict(int)
    for mask in masks:
        for value, count in mask.values.items():
            pixels[value] += count
    if not pixels:
        return ""
    ordered = sorted(pixels, key=lambda value: -pixels[value])
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
    """What runs and should not be left as it is."""
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
            f"split '{split}'): nothing is learnt or measured on it; label it, or take the pair "
            "away",
            tuple(pair.mask_path for pair in empty if pair.mask_path),
        )
    yield from _orientations(split, facts)
    yield from _odd_sizes(split, facts)


def masks_without_image(config: FolderConfig, split: str, known: set[Path]) -> Iterator[Finding]:
    """Files that the mask template of a split describes and that no image has.

    Args:
        config: The data set.
        split: The name of the split.
        known: The masks of all splits.
    """
    described = config.splits[split]
    if described.masks is None or described.is_list:
        return
    fixed, pattern = _as_pattern(described.masks)
    images = {path for images in described.images for path in config.root.glob(images)}
    found = sorted(set((config.root / fixed).glob(pattern)) - known - images)
    if found:
        yield Finding(
            "mask without image",
            f"{found[0]}: there is no image to this mask ({counted(len(found), 'such mask')} for "
            f"split '{split}'): it is not used; add the image, or widen "
            f"splits.{split}.images in the data set's YAML",
            tuple(found),
        )


def _as_pattern(template: str) -> tuple[str, str]:
    """A mask template as a folder and a pattern for `Path.glob` below it."""
    parts = PurePosixPath(template).parts
    fixed = list(itertools.takewhile(lambda part: "{" not in part, parts))
    rest = "/".join(parts[len(fixed) :])
    return "/".join(fixed), rest.replace("{folder}", "**").replace("{stem}", "*")


def _unknown_values(config: FolderConfig, facts: Sequence[PairFacts]) -> Iterator[Finding]:
    labels, read = config.labels_by_value(), config.mask_reader()
    masks: list[Path] = []
    by_value: dict[Value, int] = defaultdict(int)
    for pair in facts:
        if pair.mask and pair.mask_path:
            unlisted = unlisted_values(config, pair.mask, labels)
            if unlisted:
                masks.append(pair.mask_path)
            for value in unlisted:
                by_value[value] += 1
    if masks:
        ordered = sorted(by_value, key=lambda value: -by_value[value])
        values = [f"{value} (in {counted(by_value[value], 'mask')})" for value in ordered]
        yield Finding(
            "unknown value", _refusal(read, masks[0]), tuple(masks), f"no label for {some(values)}"
        )


def _refusal(read: Callable[[Path], object], path: Path) -> str:
    """What training says about a mask."""
    try:
        read(path)
    except DataError as error:
        return str(error)
    return f"{path}: has changed while it was examined; run the doctor again"


def _palettes(config: FolderConfig, facts: Sequence[PairFacts]) -> Iterator[Finding]:
    labels = config.labels_by_value()
    found = []
    for pair in facts:
        wrong = contradicting_palette(config, pair.mask, labels) if pair.mask else []
        if wrong:
            found.append((pair, wrong))
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
        f"({counted(len(found), 'such mask')}): its colours are right or its indices, not both; "
        "export it again with the ids as indices, or say `mask_values: colours` in the data set's "
        "YAML if all masks are right by their colours",
        tuple(pair.mask_path for pair, _ in found if pair.mask_path),
        f"by the colours of the classes {some(mapping)}",
    )


@dataclass(frozen=True)
class _Turned:
    pair: PairFacts
    image: int
    mask: int

    @property
    def is_proved(self) -> bool:
        """Whether the sizes show that both are turned by a quarter now, or differ anyway."""
        if self.pair.image is None or self.pair.mask is None:
            return True
        height, width = self.pair.image.size
        quarter = self.image in _QUARTER_TURNS or self.mask in _QUARTER_TURNS
        return self.pair.image.size != self.pair.mask.size or (quarter and height != width)


def _orientations(split: str, facts: Sequence[PairFacts]) -> Iterator[Finding]:
    """Images turned by EXIF with masks that are not, where the sizes do not show what is right."""
    turned = [
        _Turned(pair, pair.image.orientation, pair.mask.orientation)
        for pair in facts
        if pair.image and pair.mask and pair.image.orientation != pair.mask.orientation
    ]
    open_cases = [case for case in turned if not case.is_proved]
    if open_cases:
        case = open_cases[0]
        yield Finding(
            "EXIF orientation",
            f"{case.pair.image_path}: EXIF orientation {case.image} turns the image, and its mask "
            f"{case.pair.mask_path} has orientation {case.mask} "
            f"({counted(len(open_cases), 'such pair')} in split '{split}'): if the mask was drawn "
            "over the unturned image, every label is in the wrong place; look at the pair, and "
            "export image and mask upright, without EXIF",
            tuple(case.pair.image_path for case in open_cases),
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
            f"({counted(len(odd), 'such image')}): things in it have another scale; is it a "
            "thumbnail or another camera's? take it away, or bring it to size",
            tuple(pair.image_path for pair in odd),
        )
