"""What a network sees in one image, and how to look at it and keep it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from eseg.runtime.pictures import Colour, colourise, overlay, palette_image, with_legend


@dataclass(frozen=True)
class Segmentation:
    """The labels of one image.

    Attributes:
        image: The image itself, uint8 RGB (height, width, 3).
        labels: Class ids, uint8 (height, width).
        confidence: Probability of each pixel's label, float32 in (0, 1], (height, width); None
            where it was not asked for.
        names: One name per class; a label is a position in them.
        palette: One RGB colour in [0, 255] per class.
    """

    image: np.ndarray
    labels: np.ndarray
    confidence: np.ndarray | None
    names: tuple[str, ...]
    palette: tuple[Colour, ...]

    def share(self) -> dict[str, float]:
        """Share of the pixels per class, the largest first; absent classes are left out."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.names)) / self.labels.size
        order = np.argsort(-counts, kind="stable")
        return {self.names[i]: float(counts[i]) for i in order if counts[i] > 0}

    def colours(self) -> np.ndarray:
        """The labels in their classes' colours, uint8 RGB (height, width, 3)."""
        return colourise(self.labels, self.palette)

    def overlay(self, alpha: float = 0.5, legend: bool = False) -> Image.Image:
        """The image with the labels' colours laid over it, and on request a legend below.

        Args:
            alpha: Share of the colours in [0, 1]; 0 leaves the image, 1 hides it.
            legend: Whether the classes that occur are named below the picture.
        """
        picture = overlay(self.image, self.labels, self.palette, alpha)
        if legend:
            picture = with_legend(picture, self.names, self.palette, np.unique(self.labels))
        return Image.fromarray(picture)

    def save(self, path: str | Path) -> None:
        """Write the labels as an 8-bit palette PNG: pixel values are the ids.

        Raises:
            ValueError: The name ends in the suffix of another format; that would lose the ids.
            OSError: The file cannot be written.
        """
        if Path(path).suffix.lower() != ".png":
            raise ValueError(f"{path}: labels are written as PNG alone; end the name in .png")
        palette_image(self.labels, self.palette).save(path, format="PNG")
