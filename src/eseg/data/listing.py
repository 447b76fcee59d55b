"""Images of a split and their masks, from patterns, list files and templates."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from eseg.errors import DataError

Pair = tuple[PurePosixPath, PurePosixPath | None]
"""An image and its mask or, in a split without masks, None; both relative to the root."""

_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class SplitConfig:
    """The images of one split and their masks.

    Attributes:
        images: Patterns below the root, with `*`, `?`, `[...]` within a name and `**` for any
            depth of folders (links to folders are followed by `*`, not by `**`). With a
            `list_file` or `lines` instead at most one path, in which `{line}` stands for the line.
        masks: The mask of an image, below the root. `{stem}` stands for the image's file name
            without `image_suffix`, `{folder}` for its folder below the part of the pattern that
            has no wildcard, or for the folder in the line of a list. If None, images named by
            patterns have no masks: they can be labelled, but not trained or measured on.
        list_file: A text file below the root, or absolute, with one image per line; without
            `masks` also its mask, after a tab or space. Empty lines and lines that begin with #
            are skipped.
        lines: The lines of such a file, in place of the file.
    """

    images: tuple[str, ...] = ()
    masks: str | None = None
    list_file: str | None = None
    lines: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse splits that describe no pairs."""
        for path in (*self.images, self.masks or ""):
            if _leaves_root(path):
                raise DataError(f"'{path}' leaves the root; write paths relative to `root`")
        if self.list_file is not None and self.lines:
            raise DataError("has a `list_file` and `lines`; keep one of them")
        if not self.is_list:
            if not self.images:
                raise DataError("needs `images`, with `masks` for them, or a `list_file`")
        elif len(self.images) > 1 or (self.images and "{line}" not in self.images[0]):
            raise DataError("with a `list_file` or `lines`, `images` is one path with {line}")
        if self.masks is not None and "{stem}" not in self.masks:
            raise DataError(f"masks: '{self.masks}' has no {{stem}}: one mask for all images")

    @property
    def is_list(self) -> bool:
        """True if the images are listed one by one."""
        return self.list_file is not None or bool(self.lines)

    @property
    def is_labelled(self) -> bool:
        """True if the images have masks."""
        return self.masks is not None or self.is_list

    @property
    def source(self) -> str:
        """The list file or the patterns, for messages."""
        return self.list_file or " or ".join(self.images)


def list_pairs(root: Path, split: SplitConfig, image_suffix: str) -> list[Pair]:
    """List the images and masks of a split, sorted by image; the files need not exist.

    Args:
        root: The folder that all paths are relative to.
        split: The patterns or the list.
        image_suffix: End of an image's file name that is removed to make `{stem}`; if empty, the
            extension.

    Raises:
        DataError: The list file cannot be read or has a wrong line; an image lacks the suffix.
    """
    if split.list_file is not None:
        path = root / split.list_file
        pairs = _pairs_of_list(_read_lines(path), str(path), split, image_suffix)
    elif split.lines:
        pairs = _pairs_of_list(split.lines, "`lines`", split, image_suffix)
    else:
        pairs = _pairs_of_patterns(root, split, image_suffix)
    return sorted(pairs, key=lambda pair: pair[0])


def _pairs_of_patterns(root: Path, split: SplitConfig, image_suffix: str) -> set[Pair]:
    pairs: set[Pair] = set()
    for pattern in split.images:
        parents = PurePosixPath(pattern).parts[:-1]
        fixed = itertools.takewhile(lambda part: not _WILDCARD.search(part), parents)
        base = PurePosixPath(*fixed)
        for path in root.glob(pattern):
            image = PurePosixPath(path.relative_to(root))
            if not image.name.startswith(".") and path.is_file():
                mask = None
                if split.masks is not None:
                    folder = image.relative_to(base).parent
                    mask = _mask_of(image, folder, split.masks, image_suffix)
                pairs.add((image, mask))
    return pairs


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: the list file cannot be read ({error}); "
            "correct `list_file`, or `root` (data.root=PATH in a run)"
        ) from error


def _pairs_of_list(
    lines: Iterable[str], place: str, split: SplitConfig, image_suffix: str
) -> list[Pair]:
    template = split.images[0] if split.images else "{line}"
    pairs: list[Pair] = []
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        # With a template for the masks the whole line is the image: its name may hold spaces.
        fields = [line]
        if split.masks is None:
            fields = line.split("\t") if "\t" in line else line.split()
            if len(fields) != 2:
                raise DataError(
                    f"{place}: line {number}: expected an image and a mask, got '{line}'; put a "
                    "tab between the two, or say in `masks` where the masks are"
                )
        if any(_leaves_root(field) for field in fields):
            raise DataError(
                f"{place}: line {number}: '{line}' leaves the root; write paths relative to `root`"
            )
        image = PurePosixPath(template.replace("{line}", fields[0]))
        if split.masks is None:
            pairs.append((image, PurePosixPath(fields[1])))
        else:
            folder = PurePosixPath(line).parent
            pairs.append((image, _mask_of(image, folder, split.masks, image_suffix)))
    return pairs


def _mask_of(
    image: PurePosixPath, folder: PurePosixPath, template: str, image_suffix: str
) -> PurePosixPath:
    suffix = image_suffix or image.suffix
    if not image.name.endswith(suffix):
        raise DataError(
            f"{image}: the name does not end in image_suffix '{suffix}'; correct image_suffix, or "
            "make the pattern of the images stricter"
        )
    stem = image.name.removesuffix(suffix)
    return PurePosixPath(template.replace("{folder}", str(folder)).replace("{stem}", stem))


def _leaves_root(path: str) -> bool:
    return PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts
