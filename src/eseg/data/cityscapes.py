"""Cityscapes in the layout of its archives: leftImg8bit/, gtFine/ and gtCoarse/ in one root."""

from __future__ import annotations

from pathlib import Path

from eseg.data.folder import ClassConfig, FolderConfig
from eseg.data.listing import SplitConfig
from eseg.data.unpacked import expect_folder
from eseg.runtime.class_table import ClassTable

SOURCE = (
    "https://www.cityscapes-dataset.com/downloads: leftImg8bit_trainvaltest.zip and "
    "gtFine_trainvaltest.zip; for coarse labels leftImg8bit_trainextra.zip and gtCoarse.zip"
)

_CLASSES = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
"""The 19 evaluated classes in the order of their train ids, with the ids of labelIds files."""

CLASSES = ClassTable(
    tuple(name for name, _, _ in _CLASSES), tuple(colour for _, _, colour in _CLASSES)
)
LABEL_IDS = tuple(label_id for _, label_id, _ in _CLASSES)
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
    splits = {
        split: SplitConfig(
            images=(f"leftImg8bit/{folder}/*/*_leftImg8bit.png",),
            masks=labels and f"{labels}/{folder}/{{folder}}/{{stem}}_{labels}_{encoding}.png",
        )
        for split, (folder, labels) in _SPLITS.items()
    }
    return FolderConfig(
        name="cityscapes",
        root=root,
        splits=splits,
        classes=tuple(
            ClassConfig(name, colour, (value,))
            for name, colour, value in zip(CLASSES.names, CLASSES.colours, ids, strict=True)
        ),
        ignore_index=IGNORED_LABEL_IDS if has_label_ids else (255,),
        image_suffix="_leftImg8bit.png",
        absent_counts=True,
    )


def _holds(root: Path, encoding: str) -> bool:
    """Tell whether there is a mask of this encoding in any split."""
    return any(True for _ in root.glob(f"gt*/*/*/*_gt*_{encoding}.png"))
