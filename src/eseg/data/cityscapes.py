"""Cityscapes in the layout of its archives: leftImg8bit/, gtFine/ and gtCoarse/ in one root."""

from __future__ import annotations

from pathlib import Path

from eseg.data.class_files import read_classes, read_rows, with_ids
from eseg.data.folder import FolderConfig
from eseg.data.listing import SplitConfig
from eseg.data.unpacked import expect_folder

SOURCE = (
    "https://www.cityscapes-dataset.com/downloads: leftImg8bit_trainvaltest.zip and "
    "gtFine_trainvaltest.zip; for coarse labels leftImg8bit_trainextra.zip and gtCoarse.zip"
)

CLASSES = read_classes("cityscapes_classes")
"""The 19 evaluated classes in the order of their train ids."""

LABEL_IDS = tuple(int(label_id) for _, _, (label_id,) in read_rows("cityscapes_classes"))
"""Their values in labelIds files."""

IGNORED_LABEL_IDS = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)
"""Ids that the official evaluation ignores."""

_SPLITS = {
    # name: (folder of images, kind of labels)
    "train": ("train", "gtFine"),
    "val": ("val", "gtFine"),
    "test": ("test", None),
    "train_extra": ("train_extra", "gtCoarse"),
    "train_coarse": ("train", "gtCoarse"),
    "val_coarse": ("val", "gtCoarse"),
}


def describe(root: Path) -> FolderConfig:
    """Describe the data set with its 19 evaluated classes.

    Splits: `train`, `val` and `test` (images only: its labels are not public), `train_extra` with
    coarse labels, and the coarse labels of the first two as `train_coarse` and `val_coarse`. Masks
    are the labelIds files, or labelTrainIds if there are only those.

    Args:
        root: The folder with leftImg8bit/.

    Raises:
        DataError: There is no such folder.
    """
    expect_folder(root, ("leftImg8bit",), SOURCE)
    has_label_ids = _holds(root, "labelIds") or not _holds(root, "labelTrainIds")
    ids = LABEL_IDS if has_label_ids else range(len(LABEL_IDS))
    encoding = "labelIds" if has_label_ids else "labelTrainIds"
    return FolderConfig(
        name="cityscapes",
        root=root,
        splits={
            split: SplitConfig(
                images=(f"leftImg8bit/{folder}/*/*_leftImg8bit.png",),
                masks=labels and f"{labels}/{folder}/{{folder}}/{{stem}}_{labels}_{encoding}.png",
            )
            for split, (folder, labels) in _SPLITS.items()
        },
        classes=with_ids(CLASSES, ids),
        ignore_index=IGNORED_LABEL_IDS if has_label_ids else (255,),
        image_suffix="_leftImg8bit.png",
        absent_counts=True,
    )


def _holds(root: Path, encoding: str) -> bool:
    """Tell whether there is a mask of this encoding in any split."""
    return any(True for _ in root.glob(f"gt*/*/*/*_gt*_{encoding}.png"))
