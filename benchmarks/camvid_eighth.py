"""CamVid with an eighth of its train labels, laid out for `eseg self-train`.

    python benchmarks/camvid_eighth.py CAMVID DIR
    python benchmarks/camvid_eighth.py CAMVID --write-lists

The first makes DIR/images and DIR/labels with 46 labelled train images and the val split, and
DIR/unlabelled with the other 321 train images, all of them links into CAMVID. Which image is which
stands in two lists beside the configs; the second writes those: of the train images sorted by name,
and so by sequence and time, the 46 in the middle of equal stretches are the labelled ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

LABELLED = Path("configs/self_training/camvid_eighth_labelled.txt")
UNLABELLED = Path("configs/self_training/camvid_eighth_unlabelled.txt")
SHARE = 8


def choose(names: list[str]) -> list[str]:
    """One name in eight, spread evenly."""
    count = round(len(names) / SHARE)
    return [names[(2 * i + 1) * len(names) // (2 * count)] for i in range(count)]


def write_lists(camvid: Path) -> None:
    """Write the names of the labelled and of the other train images."""
    names = sorted(path.stem for path in (camvid / "images" / "train").glob("*.jpg"))
    labelled = set(choose(names))
    for path, chosen in ((LABELLED, True), (UNLABELLED, False)):
        lines = [name for name in names if (name in labelled) == chosen]
        path.write_text("\n".join(lines) + "\n")
        print(f"{path}: {len(lines)} names")


def lay_out(camvid: Path, folder: Path) -> None:
    """Fill a folder with links; links that are there already stay."""
    labelled = LABELLED.read_text().split()
    val = sorted(path.stem for path in (camvid / "images" / "val").glob("*.jpg"))
    for split, names in (("train", labelled), ("val", val)):
        link(camvid / "images" / split, folder / "images" / split, names, ".jpg")
        link(camvid / "labels" / split, folder / "labels" / split, names, ".png")
    unlabelled = UNLABELLED.read_text().split()
    link(camvid / "images" / "train", folder / "unlabelled", unlabelled, ".jpg")


def link(source: Path, folder: Path, names: list[str], suffix: str) -> None:
    """Link files of one folder into another."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = folder / f"{name}{suffix}"
        if not path.is_symlink():
            path.symlink_to((source / path.name).resolve(strict=True))


def main() -> None:
    """Write the lists, or lay out the folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("camvid", type=Path, help="folder with images/ and labels/")
    parser.add_argument("folder", type=Path, nargs="?", help="where to lay it out")
    parser.add_argument("--write-lists", action="store_true")
    options = parser.parse_args()
    if options.write_lists:
        write_lists(options.camvid)
    if options.folder is not None:
        lay_out(options.camvid, options.folder)


if __name__ == "__main__":
    main()
