"""ADE20K with the 150 classes of the scene parsing benchmark of 2016."""

from __future__ import annotations

from pathlib import Path

from eseg.data.class_files import read_classes, with_ids
from eseg.data.folder import FolderConfig
from eseg.data.listing import SplitConfig
from eseg.data.unpacked import expect_folder

SOURCE = (
    "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip and, for the test "
    "images, release_test.zip beside it; the root is the folder ADEChallengeData2016"
)

CLASSES = read_classes("ade20k_classes")
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
    test = "release_test/testing" if (root / "release_test").is_dir() else "images/testing"
    return FolderConfig(
        name="ade20k",
        root=root,
        splits={
            "train": SplitConfig(("images/training/*.jpg",), "annotations/training/{stem}.png"),
            "val": SplitConfig(("images/validation/*.jpg",), "annotations/validation/{stem}.png"),
            "test": SplitConfig((f"{test}/*.jpg",)),
        },
        classes=with_ids(CLASSES, range(UNLABELLED + 1, len(CLASSES) + 1)),
        ignore_index=(UNLABELLED,),
        absent_counts=True,
    )
