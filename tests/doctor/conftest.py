"""A small data set without a fault, for tests to spoil."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from eseg.data.folder import ClassConfig, FolderConfig
from eseg.data.listing import SplitConfig
from eseg.doctor import examine

COLOURS = ((90, 90, 90), (200, 40, 40), (40, 60, 220))
SIZE = (24, 32)


def noise(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Blocks of random grey levels: no two pictures are alike, also when they are small."""
    rng = np.random.default_rng(index)
    blocks = rng.integers(0, 256, (size[0] // 4, size[1] // 4, 3), np.uint8)
    return blocks.repeat(4, 0).repeat(4, 1)


def labels(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Three stripes of the classes, their edges at other columns in every mask, and no label."""
    mask = np.zeros(size, np.uint8)
    mask[:, 8 + index % 5 :] = 1
    mask[:, 20 + index % 7 :] = 2
    mask[0] = 255
    return mask


class Yard:
    """Six images to train and four to evaluate on, with masks of three classes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for split, indices in (("train", range(6)), ("val", range(6, 10))):
            for index in indices:
                self.put(f"{split}/images/{index}.png", noise(index))
                self.put(f"{split}/masks/{index}.png", labels(index))

    def put(self, name: str, pixels: np.ndarray, **options) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, **options)
        return path

    def describe(self, **changes) -> FolderConfig:
        base = {
            "name": "yard",
            "root": self.root,
            "splits": {
                split: SplitConfig((f"{split}/images/*.png",), f"{split}/masks/{{stem}}.png")
                for split in ("train", "val")
            },
            "classes": tuple(map(ClassConfig, ("ground", "box", "ball"), COLOURS)),
        }
        return FolderConfig(**(base | changes))

    def examine(self, **changes) -> SimpleNamespace:
        """The diagnosis, and its findings as (kind, file names)."""
        diagnosis = examine(self.describe(**changes))
        named = [
            (finding.kind, [path.relative_to(self.root).as_posix() for path in finding.files])
            for finding in diagnosis.findings
        ]
        messages = {finding.kind: finding.message for finding in diagnosis.findings}
        proposals = {finding.kind: finding.proposal for finding in diagnosis.findings}
        return SimpleNamespace(
            diagnosis=diagnosis, named=named, messages=messages, proposals=proposals
        )


@pytest.fixture
def yard(tmp_path):
    return Yard(tmp_path / "yard")


@pytest.fixture
def draw():
    """Makes the picture or the mask of a number."""
    return SimpleNamespace(image=noise, mask=labels, colours=COLOURS)
