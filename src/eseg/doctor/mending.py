"""Repair of a data set: a YAML without its faults, or for a folder without description."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eseg.config import dump_yaml
from eseg.data.folder import FolderConfig
from eseg.data.listing import SplitConfig, list_pairs
from eseg.doctor.checks import contradicting_palette, unlisted_values
from eseg.doctor.diagnosis import Diagnosis, read
from eseg.doctor.duplicates import Splits, separate_splits
from eseg.doctor.facts import FilePair, PairFacts, Value, list_lines, pair_paths
from eseg.doctor.findings import counted
from eseg.errors import DataError
from eseg.runtime.writing import output_errors, replacing

_MAX_UNKNOWN = 0.5
"""A mask with a larger share of unknown values is not one of this data set and is left out."""
_MIN_KNOWN = 0.9
"""Least share of pixels in the classes' colours with which masks are read by their colours."""


@dataclass(frozen=True)
class Mended:
    """A data set without its faults."""

    config: FolderConfig  # classes and ignored values; its splits are those that were examined
    kept: dict[str, list[FilePair]]  # usable pairs of each split
    left_out: tuple[Path, ...]  # images that are no longer in any split
    ignored: tuple[Value, ...]  # values of no class that now mean 'no label'


def mend(diagnosis: Diagnosis) -> Mended:
    """Leave out unusable pairs, and let values of no class mean 'no label'.

    A picture in two splits is left out of the lower-ranked one, so that `val` stays whole. Masks in
    the classes' colours are read by their colours. Splits without masks are left out.

    Raises:
        DataError: A split has no pairs left.
    """
    diagnosis = _by_colours(diagnosis) or diagnosis
    config = diagnosis.config
    labels = config.labels_by_value()
    kept: dict[str, list[FilePair]] = {}
    ignored: set[Value] = set()
    twice = _in_later_splits(diagnosis.readings.splits)
    for split, facts in diagnosis.readings.splits.items():
        if not any(pair.mask_path for pair in facts):
            continue
        usable = [
            pair
            for pair in facts
            if (split, pair.image_path) not in twice and _is_usable(config, pair, labels)
        ]
        kept[split] = pair_paths(usable)
        for mask in (pair.mask for pair in usable if pair.mask):
            ignored.update(unlisted_values(config, mask, labels))
        if not kept[split]:
            raise DataError(
                f"split '{split}' of data set '{config.name}' has no usable pairs left; correct "
                "the errors in its files, or give the folder instead of the YAML to have classes "
                "proposed"
            )
    if not kept:
        raise DataError(
            f"data set '{config.name}' has no split with masks; there is nothing to write"
        )
    remaining = {image for pairs in kept.values() for image, _ in pairs}
    examined = [pair for split in kept for pair in diagnosis.readings.splits[split]]
    left_out = {pair.image_path for pair in examined} - remaining
    ids = sorted(value for value in ignored if isinstance(value, int))
    colours = sorted(value for value in ignored if isinstance(value, tuple))
    config = dataclasses.replace(
        config,
        ignore_index=(*config.ignore_index, *ids),
        ignore_colours=(*config.ignore_colours, *colours),
    )
    return Mended(config, kept, tuple(sorted(left_out)), tuple(sorted(ignored, key=str)))


def write_dataset(mended: Mended, output: Path) -> list[Path]:
    """Write a data set's YAML, and beside it list files of the splits that no pattern describes.

    Returns:
        The files written.

    Raises:
        OutputError: A file cannot be written.
    """
    config, written = mended.config, []
    splits: dict[str, dict[str, Any]] = {}
    with output_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        for split, pairs in mended.kept.items():
            pattern = _pattern(config, split, pairs)
            if pattern is not None:
                splits[split] = {"images": list(pattern.images), "masks": pattern.masks}
                continue
            list_file = output.with_name(f"{output.stem}_{split}.txt")
            lines = "\n".join(list_lines(config.root, pairs))
            with replacing(list_file) as temporary:
                temporary.write_text(f"{lines}\n", encoding="utf-8")
            written.append(list_file)
            splits[split] = {"list_file": list_file.name}
        with replacing(output) as temporary:
            temporary.write_text(_yaml(mended, splits, output.parent), encoding="utf-8")
    return [output, *written]


def _by_colours(diagnosis: Diagnosis) -> Diagnosis | None:
    """Read the data set by colours if most masks are in the classes' colours, else return None."""
    config = diagnosis.config
    if config.mask_values == "colours":
        return None
    labels = config.labels_by_value()
    masks = [pair.mask for pair in diagnosis.readings.facts if pair.mask]
    painted = [
        mask
        for mask in masks
        if mask.stored == "colours" or contradicting_palette(config, mask, labels)
    ]
    other = dataclasses.replace(config, mask_values="colours")
    known = other.labels_by_value()
    pixels: Counter[bool] = Counter()
    for mask in painted:
        for value, count in mask.values.items():
            colour = value if isinstance(value, tuple) else mask.palette.get(value)
            if colour in known or colour != (0, 0, 0):  # black is unpainted
                pixels[colour in known] += count
    is_known = pixels[True] > 0 and pixels[True] >= _MIN_KNOWN * pixels.total()
    if len(painted) * 2 <= len(masks) or not is_known:
        return None
    pairs = {
        split: [(pair.image_path, pair.mask_path) for pair in facts]
        for split, facts in diagnosis.readings.splits.items()
    }
    return dataclasses.replace(diagnosis, config=other, readings=read(pairs, "colours"))


def _is_usable(config: FolderConfig, pair: PairFacts, labels: Mapping[Value, int]) -> bool:
    mask = pair.mask
    if pair.image is None or mask is None or pair.image.size != mask.size:
        return False
    if mask.stored != config.mask_values or contradicting_palette(config, mask, labels):
        return False
    unknown = sum(mask.values[value] for value in unlisted_values(config, mask, labels))
    return unknown <= _MAX_UNKNOWN * sum(mask.values.values())


def _in_later_splits(splits: Splits) -> set[tuple[str, Path]]:
    """Find images, with their splits, whose picture is also in a split of higher rank."""
    twice: set[tuple[str, Path]] = set()
    for first, second in separate_splits(splits):
        theirs = {pair.image.digest for pair in splits[second] if pair.image}
        twice.update(
            (first, pair.image_path)
            for pair in splits[first]
            if pair.image and pair.image.digest in theirs
        )
    return twice


def _pattern(config: FolderConfig, split: str, pairs: Sequence[FilePair]) -> SplitConfig | None:
    """Return patterns for exactly some pairs: the former ones, or those of one folder, or None."""
    wanted = {
        (image.relative_to(config.root), mask.relative_to(config.root)) for image, mask in pairs
    }
    candidates = [config.splits[split]] if split in config.splits else []
    if not config.image_suffix:
        candidates.extend(_simple_patterns(config.root, pairs))
    for candidate in candidates:
        if not candidate.is_list and candidate.masks is not None:
            given = list_pairs(config.root, candidate, config.image_suffix)
            if {(Path(image), Path(mask)) for image, mask in given if mask is not None} == wanted:
                return candidate
    return None


def _simple_patterns(root: Path, pairs: Sequence[FilePair]) -> list[SplitConfig]:
    """Describe one folder of images, and one of masks named after them."""
    image, mask = pairs[0]
    if image.stem not in mask.name or image.suffix == "":
        return []
    folder, place = image.parent.relative_to(root), mask.parent.relative_to(root)
    kinds = sorted({path.suffix for path, _ in pairs})
    images = tuple((folder / f"*{kind}").as_posix() for kind in kinds)
    masks = (place / mask.name.replace(image.stem, "{stem}", 1)).as_posix()
    return [SplitConfig(images, masks)]


def _yaml(mended: Mended, splits: dict[str, dict[str, Any]], folder: Path) -> str:
    """Return the text of the YAML in a folder."""
    config, folder = mended.config, folder.resolve()
    inside = config.root.is_relative_to(folder)
    root = config.root.relative_to(folder).as_posix() if inside else str(config.root)
    classes = [
        {"name": entry.name, "colour": list(entry.colour)}
        | ({"ids": list(entry.ids)} if entry.ids else {})
        | ({"colours": [list(colour) for colour in entry.colours]} if entry.colours else {})
        for entry in config.classes
    ]
    described: dict[str, Any] = {
        "name": config.name,
        "root": root,
        "splits": splits,
        "classes": classes,
        "mask_values": config.mask_values,
    }
    if config.mask_values == "ids":
        described["ignore_index"] = list(config.ignore_index)
    else:
        described["ignore_colours"] = [list(colour) for colour in config.ignore_colours]
    if config.image_suffix:
        described["image_suffix"] = config.image_suffix
    if config.absent_counts:
        described["absent_counts"] = True
    comment = (
        "# Written by `eseg doctor`. The id of a class inside eseg is its position in the list.\n"
    )
    if mended.left_out:
        comment += f"# Left out: {counted(len(mended.left_out), 'image')} with faults.\n"
    if mended.ignored:
        values = ", ".join(map(str, mended.ignored[:20]))
        comment += f"# Values that belonged to no class and now mean 'no label': {values}\n"
    return comment + dump_yaml(described, short_lists=True)
