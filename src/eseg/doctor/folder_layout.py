"""Layout of a folder without description: images, masks and their pairs."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from eseg.data.reading import read_image
from eseg.doctor.facts import FilePair
from eseg.doctor.findings import counted
from eseg.errors import DataError
from eseg.runtime.images import IMAGE_SUFFIXES

Role = Literal["image", "mask", "painted", "other"]
"""Role of a picture; `painted` ones are masks in colours for people."""

SPLIT_WORDS = {
    "train": "train", "training": "train", "trn": "train", "trainannot": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val", "valannot": "val",
    "test": "test", "testing": "test", "testannot": "test",
}  # fmt: skip
"""Words in the names of folders that name a split."""

_ROLE_WORDS: dict[Role, str] = {
    "mask": "mask masks label labels labeled labelled annotation annotations annot annots ann anns "
    "gt gtfine gtcoarse groundtruth truth segmentation segmentations seg segs segmentationclass "
    "target targets labelids labeltrainids trainids trainannot valannot testannot lbl lbls matte",
    "image": "image images img imgs jpegimages leftimg8bit rgb photo photos picture pictures pics "
    "input inputs frame frames sat stills",
    "painted": "color colors colour colours colored coloured",
    "other": "instance instances instanceids segmentationobject panoptic depth disparity preview "
    "previews overlay overlays vis visualization",
}
_WORDS = {word: role for role, words in _ROLE_WORDS.items() for word in words.split()}
"""Words in the names of files and folders that name a role."""

_PRECEDENCE: tuple[Role, ...] = ("other", "painted", "mask", "image")
"""Precedence of roles where a name has words of several."""

_NOT_READ = (".gif", ".npy", ".npz", ".mat", ".heic", ".avif", ".jp2", ".exr", ".dcm")
"""Suffixes of pictures and masks that are only reported."""
_SAMPLED = 4
"""Files per folder whose values are counted."""
_FEW_VALUES = 64
"""A picture with at most so many colours is taken for a mask if names tell nothing."""


@dataclass(frozen=True)
class Layout:
    """Contents of a folder."""

    splits: dict[str | None, list[FilePair]]  # images and masks; None if no split is named
    images_without_mask: tuple[Path, ...]
    masks_without_image: tuple[Path, ...]
    not_read: tuple[Path, ...]  # pictures in formats that are not read


@dataclass(frozen=True)
class _File:
    """A picture file with the parts of its path's names."""

    path: Path
    split: str | None  # its split, if a folder names one
    place: tuple[str, ...]  # names of the folders without the words for splits and roles
    core: str  # name of the file without the words for roles
    role: Role | None  # None if no word names it


def find_layout(folder: Path) -> Layout:
    """Find images and their masks by the names of folders and files, else by their contents.

    Raises:
        DataError: There are no pictures, no masks among them, or no pairs.
    """
    files = [_describe(path, folder) for path in _files(folder, IMAGE_SUFFIXES)]
    not_read = _files(folder, _NOT_READ)
    if not files:
        raise DataError(
            f"{folder}: no pictures in it or below it{_unread(not_read)}; give the folder of the "
            "data set"
        )
    candidates = [file for file in files if file.role in ("image", None)]
    masks = (
        [file for file in files if file.role == "mask"]
        or [file for file in files if file.role == "painted"]
        or _masks_by_content(candidates)
    )
    chosen = {file.path for file in masks}
    images = [file for file in candidates if file.path not in chosen]
    if not masks or not images:
        found, missing = ("picture", "masks") if not masks else ("mask", "images")
        raise DataError(
            f"{folder}: {counted(len(files), found)} but no {missing}{_unread(not_read)}; name the "
            "folders images and masks, end the masks' names in _mask, or describe the data set in "
            "a YAML (docs/data.md)"
        )
    pairs = _best_pairs(images, masks)
    if not pairs:
        _refuse_several(folder, images, masks)
        raise DataError(
            f"{folder}: {counted(len(images), 'image')} and {counted(len(masks), 'mask')}, but no "
            "two have the same name "
            f"(such as {images[0].path.name} and {masks[0].path.name}); name each mask like its "
            "image, or describe the data set in a YAML (docs/data.md)"
        )
    splits: dict[str | None, list[FilePair]] = {}
    for split in ("train", "val", "test", None):
        found = [(i.path, m.path) for i, m in pairs if (i.split or m.split) == split]
        if found:
            splits[split] = sorted(found)
    paired = {file.path for pair in pairs for file in pair}
    return Layout(
        splits,
        tuple(sorted(file.path for file in images if file.path not in paired)),
        tuple(sorted(file.path for file in masks if file.path not in paired)),
        tuple(not_read),
    )


def _refuse_several(folder: Path, images: Sequence[_File], masks: Sequence[_File]) -> None:
    """Raise if several masks fit one image."""
    for image in images:
        fitting = [str(mask.path.relative_to(folder)) for mask in masks if mask.core == image.core]
        if len(fitting) > 1:
            raise DataError(
                f"{folder}: several masks fit the image {image.path.relative_to(folder)}: "
                f"{', '.join(fitting)}; keep one kind of masks below the folder, or describe the "
                "data set in a YAML (docs/data.md)"
            )


def _unread(files: Sequence[Path]) -> str:
    """Count the pictures in formats that are not read, for a message."""
    if not files:
        return ""
    others = Counter(path.suffix.lower() for path in files)
    kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common())
    return f" ({kinds}: not read; convert them to PNG, JPEG, WebP, TIFF or BMP)"


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Find files by suffix below a folder, except hidden ones and those in `__` folders."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and path.is_file()
        and not any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
    )


def _describe(path: Path, folder: Path) -> _File:
    """Derive split, role and the remaining names from a path."""
    relative = PurePosixPath(path.relative_to(folder).as_posix())
    split: str | None = None
    role: Role | None = None
    place = []
    for part in relative.parent.parts:
        words = _words(part)
        split = next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), split)
        role = _role(words) or role  # the deepest folder decides
        rest = [word for word in words if word not in SPLIT_WORDS and word not in _WORDS]
        if rest:
            place.append("_".join(rest))
    words, ends = _words(relative.stem), []
    while len(words) > 1 and words[-1] in _WORDS:
        ends.append(words.pop())
    if len(words) > 1 and words[0] in _WORDS:
        ends.append(words.pop(0))
    return _File(path, split, tuple(place), "_".join(words), _role(ends) or role)


def _role(words: Iterable[str]) -> Role | None:
    named = {_WORDS[word] for word in words if word in _WORDS}
    return next((role for role in _PRECEDENCE if role in named), None)


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^0-9a-z]+", name.lower()) if word]


def _masks_by_content(files: Sequence[_File]) -> list[_File]:
    """Return the files of each folder and suffix if the sampled ones have few values."""
    groups = _grouped(files, lambda file: (file.path.parent, file.path.suffix.lower()))
    masks = []
    for group in groups.values():
        sample = group[:: max(1, len(group) // _SAMPLED)]
        if all(_has_few_values(file.path) for file in sample):
            masks.extend(group)
    return masks


def _has_few_values(path: Path) -> bool:
    with suppress(DataError):
        pixels = read_image(path).reshape(-1, 3)[::7]
        return len(np.unique(pixels, axis=0)) <= _FEW_VALUES
    return False


def _best_pairs(images: Sequence[_File], masks: Sequence[_File]) -> list[tuple[_File, _File]]:
    """Pair images and masks by the strictest comparison of names that gives the most pairs."""
    keys: tuple[Callable[[_File], Hashable], ...] = (
        lambda file: (file.split, file.place, file.core),
        lambda file: (file.split, file.core),
        lambda file: (file.place, file.core),
        lambda file: file.core,
    )
    return max((_pairs(images, masks, key) for key in keys), key=len)


def _pairs(
    images: Iterable[_File], masks: Iterable[_File], key: Callable[[_File], Hashable]
) -> list[tuple[_File, _File]]:
    """Pair images and masks with equal keys that no other image or mask has."""
    of_images, of_masks = _grouped(images, key), _grouped(masks, key)
    return [
        (found[0], of_masks[name][0])
        for name, found in of_images.items()
        if len(found) == 1 and len(of_masks[name]) == 1
    ]


def _grouped(
    files: Iterable[_File], key: Callable[[_File], Hashable]
) -> defaultdict[Hashable, list[_File]]:
    groups: defaultdict[Hashable, list[_File]] = defaultdict(list)
    for file in files:
        groups[key(file)].append(file)
    return groups
