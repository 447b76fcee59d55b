"""Examination of a folder without description: layout, proposed classes and validation split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from eseg.data.folder import FolderConfig
from eseg.data.listing import SplitConfig
from eseg.data.mask_values import MaskValues
from eseg.doctor.diagnosis import Diagnosis, Readings, diagnose, read
from eseg.doctor.facts import FilePair, PairFacts, examine_pair, list_lines, pair_paths
from eseg.doctor.findings import Finding, Kind, counted
from eseg.doctor.folder_layout import Layout, find_layout
from eseg.doctor.proposal import propose_classes
from eseg.errors import DataError
from eseg.reports.reporter import SILENT, Reporter

VAL_SHARE = 0.2
"""Share of the pictures that becomes `val` if the folder has none."""


def examine_folder(
    folder: Path, *, reporter: Reporter = SILENT, workers: int | None = None
) -> Diagnosis:
    """Find images and masks in a folder, propose classes, and examine them as a data set.

    Without a split `val`, the pictures of `train`, or all, are divided by their contents: one in
    five becomes `val`, the same ones every time, and equal pictures are kept together. Lists in the
    layout of VOC, ImageSets/Segmentation/train.txt and val.txt, are used if they name every pair.

    Args:
        folder: The data set.
        reporter: Receiver of the progress.
        workers: Threads that read; by default one per core.

    Raises:
        DataError: There are no images with masks, or the values in the masks are not classes.
    """
    folder = folder.resolve()
    layout = find_layout(folder)
    named = {split or "train": list(pairs) for split, pairs in layout.splits.items()}
    if None in layout.splits and "train" in layout.splits:
        named["train"] = sorted(layout.splits[None] + layout.splits["train"])
    if set(named) == {"train"}:
        named = _listed(folder, named["train"]) or named
    readings = read(named, "either", reporter=reporter, workers=workers)
    findings = list(_without_partner(layout))
    if "val" not in readings.splits and "train" in readings.splits:
        readings, divided = _divide(readings)
        findings.extend(divided)
    masks = [pair.mask for pair in readings.facts if pair.mask]
    if not masks:
        error, _ = next(error for pair in readings.facts for error in pair.errors)
        raise DataError(f"{folder}: none of its masks can be read; {error}")
    proposal = propose_classes(_name_folders(folder, readings.facts), masks)
    readings = _read_again(readings, proposal.mask_values)
    config = FolderConfig(
        name=folder.name or "data",
        root=folder,
        splits={
            split: SplitConfig(lines=list_lines(folder, pair_paths(facts)))
            for split, facts in readings.splits.items()
        },
        classes=proposal.classes,
        mask_values=proposal.mask_values,
        ignore_index=proposal.ignore_index,
        ignore_colours=proposal.ignore_colours,
    )
    findings.extend(_missing_splits(folder, readings))
    return diagnose(config, readings, findings, is_proposed=True)


def _name_folders(folder: Path, facts: Iterable[PairFacts]) -> list[Path]:
    """List folders that may hold a list of names: the data set's, and those above the masks."""
    parents = {pair.mask_path.parent for pair in facts if pair.mask_path}
    above = {parent for path in parents for parent in path.parents if parent.is_relative_to(folder)}
    return [folder, *sorted((parents | above) - {folder})]


def _missing_splits(folder: Path, readings: Readings) -> Iterator[Finding]:
    missing = [split for split in ("train", "val") if split not in readings.splits]
    if missing:
        held = ", ".join(
            f"{counted(len(facts), 'pair')} for '{split}'"
            for split, facts in readings.splits.items()
        )
        yield Finding(
            "missing split",
            f"{folder}: there is {held}, nothing for {' and '.join(missing)}: training needs both "
            "train and val; add pairs, in folders with these names",
        )


def _listed(folder: Path, pairs: Sequence[FilePair]) -> dict[str, list[FilePair]] | None:
    """Return the splits of lists in the layout of VOC, or None unless they name every pair."""
    for lists in sorted(folder.rglob("ImageSets/Segmentation")):
        splits = {}
        for split in ("train", "val", "test"):
            path = lists / f"{split}.txt"
            names = set(path.read_text(encoding="utf-8").split()) if path.is_file() else set()
            splits[split] = [pair for pair in pairs if pair[0].stem in names]
        if splits["train"] and splits["val"] and {*pairs} == {*chain(*splits.values())}:
            return {split: of_split for split, of_split in splits.items() if of_split}
    return None


def _read_again(readings: Readings, mask_values: MaskValues) -> Readings:
    """Read masks that store another kind of values than most again, as training would."""
    splits = {
        split: tuple(
            examine_pair(pair.image_path, pair.mask_path, mask_values)
            if pair.mask and pair.mask.stored != mask_values
            else pair
            for pair in facts
        )
        for split, facts in readings.splits.items()
    }
    return replace(readings, splits=splits)


def _without_partner(layout: Layout) -> Iterator[Finding]:
    """Report files that no pair uses."""
    lone: tuple[tuple[Kind, tuple[Path, ...], str, str, str], ...] = (
        ("image without mask", layout.images_without_mask, "image", "mask", "a mask"),
        ("mask without image", layout.masks_without_image, "mask", "image", "an image"),
    )
    for kind, files, role, partner, missing in lone:
        if files:
            yield Finding(
                kind,
                f"{files[0]}: there is no {partner} for this {role} "
                f"({counted(len(files), f'such {role}')}): it is not used; add {missing} with the "
                f"{role}'s name",
                files,
            )
    if layout.not_read:
        kinds = ", ".join(sorted({path.suffix.lower() for path in layout.not_read}))
        yield Finding(
            "unsupported format",
            f"{layout.not_read[0]}: {kinds} files are not read "
            f"({counted(len(layout.not_read), 'such file')}); convert them to PNG if they belong "
            "to the data",
            layout.not_read,
        )


def _divide(readings: Readings) -> tuple[Readings, list[Finding]]:
    """Move a part of `train`, chosen by the pictures' digests, to `val`."""
    facts = readings.splits["train"]
    digests = sorted({pair.image.digest for pair in facts if pair.image})
    if len(digests) < 2:
        return readings, []
    chosen = set(digests[: max(1, round(VAL_SHARE * len(digests)))])
    train, val = [], []
    for pair in facts:
        (val if pair.image and pair.image.digest in chosen else train).append(pair)
    finding = Finding(
        "divided here",
        f"there is no folder for validation: {len(val)} of {len(facts)} pairs, chosen by their "
        "contents, are proposed as split 'val'; if these are frames of videos, put whole videos "
        "into folders train and val instead, or val measures scenes that were trained on",
    )
    others = {split: pairs for split, pairs in readings.splits.items() if split != "train"}
    splits = {"train": tuple(train), "val": tuple(val), **others}
    return replace(readings, splits=splits), [finding]
