"""Test of `eseg doctor` with faults planted in a folder: it names all of them and no others.

    python benchmarks/planted_faults.py [--camvid ROOT]

A folder of street scenes gets twelve faults of twelve kinds, each in files of its own. Each must be
named with its file or its class, and nothing else may be found: neither there, nor in the same
folder without faults, nor, with `--camvid`, in CamVid.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from eseg.config import load_dataset
from eseg.data.folder import ClassConfig, FolderConfig
from eseg.data.listing import SplitConfig
from eseg.deploy.benchmark.environment import describe_environment
from eseg.doctor import Diagnosis, Finding, examine
from eseg.streets import CLASSES, Streets, StreetsConfig

TRAIN, VAL = 60, 20
SIZE = (128, 256)
EMPTY_CLASS, RARE_CLASS = "boat", "horse"
RARE_ID = len(CLASSES)
PACKAGES = ("eseg", "numpy", "pillow")


class Fault(NamedTuple):
    """A fault to plant, and the finding expected for it.

    Attributes:
        name: Its name in the result.
        kind: The finding's kind.
        named: A file (below the root) or a class that the finding must name.
        plant: Function that plants it in the folder; None if the description contains it.
    """

    name: str
    kind: str
    named: str
    plant: Callable[[Path], None] | None


def describe(root: Path, *, faulty: bool) -> FolderConfig:
    """Describe the folder; with faults there are a class that no mask shows and a rare one."""
    names = [*CLASSES.names, *((RARE_CLASS, EMPTY_CLASS) if faulty else ())]
    colours = [*CLASSES.colours, (90, 40, 10), (10, 200, 220)]
    return FolderConfig(
        name="planted",
        root=root,
        splits={
            split: SplitConfig((f"{split}/images/*.png",), f"{split}/masks/{{stem}}.png")
            for split in ("train", "val")
        },
        classes=tuple(map(ClassConfig, names, colours)),
    )


def write_scenes(root: Path) -> None:
    """Write street scenes without faults."""
    for split, length in (("train", TRAIN), ("val", VAL)):
        scenes = Streets(split, StreetsConfig(SIZE, TRAIN, VAL))
        for folder in ("images", "masks"):
            (root / split / folder).mkdir(parents=True)
        for index in range(length):
            Image.fromarray(scenes[index].image).save(image(root, split, index))
            Image.fromarray(scenes[index].mask).save(mask(root, split, index))


def image(root: Path, split: str, index: int) -> Path:
    """Return the file of an image."""
    return root / split / "images" / f"{index:03d}.png"


def mask(root: Path, split: str, index: int) -> Path:
    """Return the file of a mask."""
    return root / split / "masks" / f"{index:03d}.png"


def ids(path: Path) -> np.ndarray:
    """Read the ids in a mask as a writable array."""
    return np.array(Image.open(path))


def shrink_mask(root: Path) -> None:
    """Shrink a mask to half the size of its image."""
    Image.fromarray(ids(mask(root, "train", 5))[::2, ::2]).save(mask(root, "train", 5))


def unknown_id(root: Path) -> None:
    """Give some pixels an id that no class has."""
    values = ids(mask(root, "train", 8))
    values[40:44, 60:70] = 77
    Image.fromarray(values).save(mask(root, "train", 8))


def rgb_mask(root: Path) -> None:
    """Paint a mask in the classes' colours."""
    palette = np.array(CLASSES.colours, np.uint8)
    Image.fromarray(palette[ids(mask(root, "train", 11))]).save(mask(root, "train", 11))


def shuffled_palette(root: Path) -> None:
    """Save a palette mask as picture editors do: right colours, indices in another order."""
    values = ids(mask(root, "train", 14))
    present = np.unique(values)[::-1]
    indices = np.zeros(256, np.uint8)
    indices[present] = np.arange(len(present))
    picture = Image.fromarray(indices[values])
    picture.putpalette(np.array(CLASSES.colours, np.uint8)[present].tobytes())
    picture.save(mask(root, "train", 14))


def jpeg_mask(root: Path) -> None:
    """Compress a mask as JPEG under its name in .png."""
    Image.fromarray(ids(mask(root, "train", 17))).save(mask(root, "train", 17), format="JPEG")


def rare_class(root: Path) -> None:
    """Give one mask per split a class that no other has."""
    for split in ("train", "val"):
        values = ids(mask(root, split, 19))
        values[20:50, 30:80] = RARE_ID
        Image.fromarray(values).save(mask(root, split, 19))


def copy_into_val(root: Path) -> None:
    """Copy a picture of train, with its mask, into val as a different file with equal pixels."""
    with Image.open(image(root, "train", 23)) as picture:
        picture.save(image(root, "val", 7), compress_level=1, dpi=(72, 72))
    mask(root, "val", 7).write_bytes(mask(root, "train", 23).read_bytes())


def truncate(root: Path) -> None:
    """Cut off the end of an image file."""
    path = image(root, "train", 26)
    path.write_bytes(path.read_bytes()[:-4000])


def ignore_all(root: Path) -> None:
    """Remove all labels from a mask."""
    Image.fromarray(np.full(SIZE, 255, np.uint8)).save(mask(root, "train", 29))


def turn_by_exif(root: Path) -> None:
    """Turn an image upside down by EXIF, but not its mask."""
    with Image.open(image(root, "train", 32)) as picture:
        exif = picture.getexif()
        exif[0x0112] = 3
        picture.save(image(root, "train", 32), exif=exif)


FAULTS = (
    Fault(
        "missing partner",
        "missing partner",
        "train/masks/002.png",
        lambda root: mask(root, "train", 2).unlink(),
    ),
    Fault("sizes differ", "sizes differ", "train/masks/005.png", shrink_mask),
    Fault("id outside the table", "unknown value", "train/masks/008.png", unknown_id),
    Fault("RGB mask", "colours for ids", "train/masks/011.png", rgb_mask),
    Fault("palette in another order", "palette for ids", "train/masks/014.png", shuffled_palette),
    Fault("JPEG mask", "lossy mask", "train/masks/017.png", jpeg_mask),
    Fault("empty class", "empty class", EMPTY_CLASS, None),
    Fault("rare class", "rare class", RARE_CLASS, rare_class),
    Fault(
        "picture in train and val", "duplicate across splits", "val/images/007.png", copy_into_val
    ),
    Fault("truncated image", "unreadable file", "train/images/026.png", truncate),
    Fault("mask that is all ignore", "all ignored", "train/masks/029.png", ignore_all),
    Fault("EXIF orientation", "EXIF orientation", "train/images/032.png", turn_by_exif),
)


def names_it(fault: Fault, finding: Finding, root: Path) -> bool:
    """Return whether a finding is about a fault."""
    files = {path.relative_to(root).as_posix() for path in finding.files}
    return finding.kind == fault.kind and (fault.named in files or fault.named in finding.message)


def expected_files(finding: Finding, root: Path) -> bool:
    """Return whether all files of a finding are faulty or partners of faulty ones."""
    faulty = {fault.named for fault in FAULTS} | {"train/images/023.png"}
    return {path.relative_to(root).as_posix() for path in finding.files} <= faulty


def summary(diagnosis: Diagnosis) -> dict[str, Any]:
    """Summarise findings and speed of a diagnosis."""
    return {
        "pairs": diagnosis.readings.pairs,
        "findings": [finding.to_dict() for finding in diagnosis.findings],
        "pairs_per_minute": round(diagnosis.readings.pairs_per_minute),
    }


def planted(root: Path) -> dict[str, Any]:
    """Examine the folder before and after the faults are planted."""
    write_scenes(root)
    clean = examine(describe(root, faulty=False))
    for fault in FAULTS:
        if fault.plant is not None:
            fault.plant(root)
    findings = examine(describe(root, faulty=True)).findings
    rows = []
    for fault in FAULTS:
        message = next((found.message for found in findings if names_it(fault, found, root)), None)
        rows.append({"fault": fault.name, "message": message and message.replace(f"{root}/", "")})
        print(f"{fault.name:26} {'named' if message else 'MISSED'}")
    false = [
        finding.to_dict()
        for finding in findings
        if not any(names_it(fault, finding, root) for fault in FAULTS)
        or not expected_files(finding, root)
    ]
    return {
        "named": sum(row["message"] is not None for row in rows),
        "of": len(FAULTS),
        "false_alarms": false,
        "faults": rows,
        "without_faults": summary(clean),
    }


def camvid(description: Path, root: Path, repeats: int) -> dict[str, Any]:
    """Examine CamVid several times; the speed is the median."""
    config = dataclasses.replace(load_dataset(description, root))
    runs = [examine(config) for _ in range(repeats)]
    speeds = [run.readings.pairs_per_minute for run in runs]
    return summary(runs[0]) | {
        "pairs_per_minute": round(statistics.median(speeds)),
        "runs_pairs_per_minute": [round(speed) for speed in speeds],
    }


def main() -> None:
    """Plant, examine and store; exit code 1 if a fault is missed or something else is found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--camvid", type=Path, help="the root of CamVid in SegNet's layout")
    parser.add_argument(
        "--description", type=Path, default=Path("configs/camvid/dataset.yaml"), help="its YAML"
    )
    parser.add_argument("--repeats", type=int, default=5, help="times that CamVid is examined")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/planted_faults.json")
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result: dict[str, Any] = {"planted": planted(Path(folder))}
    found = [*result["planted"]["false_alarms"], *result["planted"]["without_faults"]["findings"]]
    if arguments.camvid is not None:
        result["camvid"] = camvid(arguments.description, arguments.camvid, arguments.repeats)
        found += result["camvid"]["findings"]
        print(f"CamVid: {result['camvid']['pairs_per_minute']:,} pairs per minute")
    print(f"{result['planted']['named']} of {len(FAULTS)} named, {len(found)} false alarms")
    for finding in found:
        print(f"  {finding['kind']}: {finding['message']}")
    result["environment"] = describe_environment(PACKAGES)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(bool(found) or result["planted"]["named"] < len(FAULTS))


if __name__ == "__main__":
    main()
