"""Mapillary Vistas 1.x and 2.0, with the classes of the config json that comes with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eseg.data.folder import ClassConfig, FolderConfig
from eseg.data.listing import SplitConfig
from eseg.data.unpacked import expect_folder
from eseg.errors import DataError

SOURCE = "https://www.mapillary.com/dataset/vistas"

_LABELS_V1 = ("v1.2/labels", "labels")
_LABELS_V2 = ("v2.0/labels",)
"""Folders of the masks of a split; the archive of 2.0 has those of 1.2 too."""

_CONFIGS = {
    "labels": ("config_v1.2.json", "config.json"),
    "v1.2/labels": ("config_v1.2.json",),
    "v2.0/labels": ("config_v2.0.json", "config.json"),
}
"""Files that give the meaning of the masks, by the folder of the masks."""


def describe(root: Path) -> FolderConfig:
    """Describe the data set with the classes that its config json evaluates.

    Splits: `train`, `val` and `test` (images only). If there are labels of both versions, those of
    1.2 are used; `describe_v2` uses the others.

    Args:
        root: The folder with training/, validation/ and the config json.

    Raises:
        DataError: There is no such folder, or the config json is missing or wrong.
    """
    return _describe(root, (*_LABELS_V1, *_LABELS_V2))


def describe_v2(root: Path) -> FolderConfig:
    """Describe the data set with the labels of version 2.0; otherwise as `describe`."""
    return _describe(root, _LABELS_V2)


def _describe(root: Path, folders: tuple[str, ...]) -> FolderConfig:
    expect_folder(root, ("training", "validation", "testing"), SOURCE)
    halves = [f"{part}/{folder}" for folder in folders for part in ("training", "validation")]
    labels = expect_folder(root, tuple(halves), SOURCE).partition("/")[2]
    classes, ignored = _read_config(root, _CONFIGS[labels])
    splits = {
        split: SplitConfig((f"{part}/images/*.jpg",), f"{part}/{labels}/{{stem}}.png")
        for split, part in (("train", "training"), ("val", "validation"))
    }
    return FolderConfig(
        name="vistas",
        root=root,
        splits=splits | {"test": SplitConfig(("testing/images/*.jpg",))},
        classes=classes,
        ignore_index=ignored,
        absent_counts=True,
    )


def _read_config(
    root: Path, names: tuple[str, ...]
) -> tuple[tuple[ClassConfig, ...], tuple[int, ...]]:
    """Read the classes that are evaluated, and the ids of all other labels."""
    path = next((root / name for name in names if (root / name).is_file()), None)
    if path is None:
        raise DataError(
            f"{root}: expected {' or '.join(names)} in it, which gives the meaning of the masks; "
            f"it comes with the data set ({SOURCE})"
        )
    try:
        classes = _classes_of(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: not the config of Mapillary Vistas ({error}); take the file that comes with "
            f"the data set ({SOURCE})"
        ) from error
    evaluated = tuple(entry for entry in classes if entry is not None)
    return evaluated, tuple(number for number, entry in enumerate(classes) if entry is None)


def _classes_of(config: Any) -> list[ClassConfig | None]:
    """List the labels in the order of their ids, None for those that are not evaluated."""
    if not isinstance(config, dict) or not isinstance(config.get("labels"), list):
        raise ValueError("it has no list of `labels`")
    classes: list[ClassConfig | None] = []
    for number, label in enumerate(config["labels"]):
        match label:
            case {
                "readable": str(name),
                "color": [int(red), int(green), int(blue)],
                "evaluate": bool(evaluate),
            } if 0 <= min(red, green, blue) <= max(red, green, blue) < 256:
                entry = ClassConfig(name, (red, green, blue), (number,))
                classes.append(entry if evaluate else None)
            case _:
                raise ValueError(
                    f"labels[{number}] lacks a `readable` name, `color` or `evaluate`, or has a "
                    "wrong one"
                )
    if not any(classes):
        raise ValueError("none of its labels is to be evaluated")
    return classes
