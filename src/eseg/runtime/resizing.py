"""Size that images are brought to before a network sees them, in training and on a robot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class ResizeConfig:
    """Size that all images of a data set are brought to first, in their own proportions.

    Exactly one of the two sides is given.

    Attributes:
        shorter_side: Pixels of the shorter side afterwards, as for ADE20K (ESeg 4.1).
        longer_side: Pixels of the longer side afterwards, as for Mapillary Vistas (ESeg 4.4).
    """

    shorter_side: int | None = None
    longer_side: int | None = None

    def __post_init__(self) -> None:
        """Refuse what does not give a size."""
        given = [side for side in (self.shorter_side, self.longer_side) if side is not None]
        if len(given) != 1:
            raise ValueError("give either shorter_side or longer_side")
        if given[0] < 1:
            raise ValueError(f"a side has at least 1 pixel, not {given[0]}")

    def size_of(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) of an image afterwards; a resized one keeps its size."""
        if self.shorter_side is not None:
            wanted, side = self.shorter_side, min(size)
        else:
            assert self.longer_side is not None
            wanted, side = self.longer_side, max(size)
        height, width = (max(1, round(length * wanted / side)) for length in size)
        return height, width


def to_size(image: np.ndarray, resize: ResizeConfig | None) -> np.ndarray:
    """Resize an image, bilinearly with antialiasing as training does.

    Args:
        image: uint8 RGB (height, width, 3).
        resize: The wanted size, or None for the image as it is.

    Returns:
        uint8 RGB, the image itself where it has that size already.
    """
    if resize is None:
        return image
    height, width = resize.size_of((image.shape[0], image.shape[1]))
    if (height, width) == image.shape[:2]:
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def labels_at(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize labels, each pixel taking the nearest one's.

    It is for networks that give labels only; from logits they are made exactly.

    Args:
        labels: uint8 (height, width).
        size: Wanted (height, width).
    """
    if labels.shape == size:
        return labels
    height, width = size
    return np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))
