"""Examination of a folder without description: layout, proposed classes and validation split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from eseg.data.folder import FolderConfig
from eseg.data.listing import SplitConfig
from eseg.data.mask_values import MaskValues
from eseg.doctor.diagnosis import Diagnosis, Readings, diagnose, read
from eseg.doctor.facts import PairFacts, examine_pair
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
    findings = _without_partner(layout)
    drawn = ()
    if "val" not in readings.splits and "train" in readings.splits:
        readings, found = _divide(readings)
        findings.extend(found)
        drawn = ("val",)
    masks = [pair.mask for facts in readings.splits.values() for pair in facts if pair.mask]
    if not masks:
        errors = [
            str(error)
            for facts in readings.splits.values()
            for pair in facts
            for error, _ in pair.errors
        ]
        raise DataError(f"{folder}: none of its masks can be read; {errors[0]}")
    paths = (pair.mask_path for facts in readings.splits.values() for pair in facts)
    proposal = propose_classes(_name_folders(folder, paths), masks)
    readings = _read_again(readings, proposal.mask_values)
    config = FolderConfig(
        name=folder.name or "data",
        root=folder,
        splits={split: _as_list(folder, facts) for split, facts in readings.splits.items()},
        classes=proposal.classes,
        mask_values=proposal.mask_values,
        ignore_index=proposal.ignore_index,
        ignore_colours=proposal.ignore_colours,
    )
    return diagnose(
        config,
        readings,
        [*findings, *_missing_splits(folder, readings)],
        is_proposed=True,
        drawn=drawn,
    )


def _name_folders(folder: Path, masks: Iterable[Path | None]) -> list[Path]:
    """List folders that may hold a list of names: the data set's, and those above the masks."""
    parents = {path.parent for path in masks if path is not None}
    above = {parent for path in parents for parent in path.parents if parent.is_relative_to(folder)}
    return [folder, *sorted((parents | above) - {folder})]


def _missing_splits(folder: Path, readings: Readings) -> list[Finding]:
    missing = [split for split in ("train", "val") if split not in readings.splits]
    if not missing:
        return []
    held = ", ".join(
        f"{counted(len(facts), 'pair')} for '{split}'" for split, facts in readings.splits.items()
    )
    return [
        Finding(
            "missing split",
            f"{folder}: there is {held}, nothing for {' and '.join(missing)}: training needs both "
            "train and val; add pairs, in folders with these names",
        )
    ]


def _listed(
    folder: Path, pairs: Sequence[tuple[Path, Path]]
) -> dict[str, list[tuple[Path, Path]]] | None:
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
    return Readings(splits, readings.seconds)


def _as_list(root: Path, facts: tuple[PairFacts, ...]) -> SplitConfig:
    lines = [
        f"{pair.image_path.relative_to(root).as_posix()}\t"
        f"{pair.mask_path.relative_to(root).as_posix()}"
        for pair in facts
        if pair.mask_path
    ]
    return SplitConfig(lines=tuple(lines))


def _without_partner(layout: Layout) -> list[Finding]:
    """Report files that no pair uses."""
    kinds = ", ".join(sorted({path.suffix.lower() for path in layout.not_read}))
    cases: list[tuple[Kind, tuple[Path, ...], str, str, str]] = [
        (
            "image without mask",
            layout.images_without_mask,
            "there is no mask for this image",
            "such image",
            ": it is not used; add a mask with the image's name",
        ),
        (
            "mask without image",
            layout.masks_without_image,
            "there is no image for this mask",
            "such mask",
            ": it is not used; add an image with the mask's name",
        ),
        (
            "unsupported format",
            layout.not_read,
            f"{kinds} files are not read",
            "such file",
            "; convert them to PNG if they belong to the data",
        ),
    ]
    return [
        Finding(kind, f"{files[0]}: {problem} ({counted(len(files), noun)}){remedy}", files)
        for kind, files, problem, noun, remedy in cases
        if files
    ]


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
    splits = {"train": tuple(train), "val": tuple(val)}
    splits |= {split: of_split for split, of_split in readings.splits.items() if split != "train"}
    finding = Finding(
        "divided here",
        f"there is no folder for validation: {len(val)} of {len(facts)} pairs, chosen by their "
        "contents, are proposed as split 'val'; if these are frames of videos, put whole videos "
        "into folders train and val instead, or val measures scenes that were trained on",
    )
    return Readings(splits, readings.seconds), [finding]
