"""ADE20K with the 150 classes of the scene parsing benchmark of 2016."""

from __future__ import annotations

import csv
from importlib import resources
from pathlib import Path

from eseg.data.folder import ClassConfig, FolderConfig
from eseg.data.listing import SplitConfig
from eseg.data.unpacked import expect_folder
from eseg.runtime.class_table import ClassTable

SOURCE = (
    "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip and, for the test "
    "images, release_test.zip beside it; the root is the folder ADEChallengeData2016"
)


def _read_classes() -> ClassTable:
    with resources.files("eseg.data").joinpath("ade20k_classes.csv").open(encoding="utf-8") as file:
        names, *channels = zip(*list(csv.reader(file))[1:], strict=True)
    return ClassTable(names, tuple(zip(*(map(int, channel) for channel in channels), strict=True)))


CLASSES = _read_classes()
"""The 150 classes; masks store a class's place plus one."""

UNLABELLED = 0


def describe(root: Path) -> FolderConfig:
    """Describe the data set with its 150 classes; pixels of value 0 have no label.

    Splits: `train`, `val` and `test` (images only).

    Args:
        root: The folder ADEChallengeData2016, with images/ and annotations/; the test images are
            in images/testing or release_test/testing below it.

    Raises:
        DataError: There is no such folder.
    """
    expect_folder(root, ("images/training", "images/validation"), SOURCE)
    splits = {
        split: SplitConfig((f"images/{folder}/*.jpg",), f"annotations/{folder}/{{stem}}.png")
        for split, folder in (("train", "training"), ("val", "validation"))
    }
    test = "release_test/testing" if (root / "release_test").is_dir() else "images/testing"
    return FolderConfig(
        name="ade20k",
        root=root,
        splits=splits | {"test": SplitConfig((f"{test}/*.jpg",))},
        classes=tuple(
            ClassConfig(name, colour, (value,))
            for value, (name, colour) in enumerate(
                zip(CLASSES.names, CLASSES.colours, strict=True), start=UNLABELLED + 1
            )
        ),
        ignore_index=(UNLABELLED,),
        absent_counts=True,
    )
