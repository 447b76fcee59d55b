"""Splits of the street scenes, rendered on demand without any files."""

from __future__ import annotations

from dataclasses import dataclass

from eseg.errors import DataError
from eseg.runtime.class_table import Sample
from eseg.streets.classes import CLASSES
from eseg.streets.render import render_scene

_SPLITS = ("train", "val")


@dataclass(frozen=True)
class StreetsConfig:
    """Number and size of the street scenes.

    Attributes:
        size: (height, width) of every picture in pixels.
        train_length: Scenes in the split `train`.
        val_length: Scenes in the split `val`.
        seed: Another seed gives other scenes, in both splits.
    """

    size: tuple[int, int] = (256, 512)
    train_length: int = 3000
    val_length: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes, lengths and seeds that cannot be used."""
        if min(self.size) < 1:
            raise DataError(f"streets: size is {self.size}; both edges must be at least 1 pixel")
        if min(self.train_length, self.val_length) < 1:
            raise DataError(
                f"streets: train_length is {self.train_length} and val_length is "
                f"{self.val_length}; both must be at least 1"
            )
        if not 0 <= self.seed < 2**32:  # one word of the seed sequence
            raise DataError(f"streets: seed is {self.seed}; it lies in [0, 2**32)")


class Streets:
    """One split of the street scenes.

    A sample depends on (seed, split, index) alone and is rendered on every access.

    Args:
        split: `train` or `val`; they share no scene.
        config: Size, lengths and seed.

    Raises:
        DataError: There is no such split.
    """

    classes = CLASSES
    absent_counts = False

    def __init__(self, split: str, config: StreetsConfig = StreetsConfig()) -> None:
        if split not in _SPLITS:
            raise DataError(f"streets has no split {split!r}; choose one of {', '.join(_SPLITS)}")
        self.split = split
        self.config = config

    def __len__(self) -> int:
        return self.config.train_length if self.split == "train" else self.config.val_length

    def __getitem__(self, index: int) -> Sample:
        """Render one scene.

        Raises:
            IndexError: `index` is not in [0, length).
        """
        if not 0 <= index < len(self):
            raise IndexError(f"streets/{self.split} has {len(self)} scenes, there is no {index}")
        seeds = (self.config.seed, _SPLITS.index(self.split), index)
        image, mask = render_scene(seeds, self.config.size)
        return Sample(image, mask, f"streets_{self.split}_{index:05d}")
