"""Labels of one image, and ways to view and store them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from eseg.runtime.class_table import Colour
from eseg.runtime.pictures import colourise, overlay, palette_image, with_legend

_NAMED = 5
"""Classes that `repr` names."""


@dataclass(frozen=True)
class Segmentation:
    """The labels of one image.

    Notebooks show its overlay with a legend.

    Attributes:
        image: The image itself, uint8 RGB (height, width, 3).
        labels: Class ids, uint8 (height, width).
        confidence: Probability of each pixel's label, float32 in (0, 1], (height, width); None
            unless it was requested.
        names: One name per class; a label is an index into them.
        palette: One RGB colour in [0, 255] per class.
    """

    image: np.ndarray
    labels: np.ndarray
    confidence: np.ndarray | None
    names: tuple[str, ...]
    palette: tuple[Colour, ...]

    def __repr__(self) -> str:
        """Return height, width and the largest classes with their shares."""
        height, width = self.labels.shape
        parts = [
            f"{name} {100 * share:.0f} %" if share >= 0.005 else f"{name} < 1 %"
            for name, share in self.share().items()
        ]
        if len(parts) > _NAMED:
            parts[_NAMED:] = ["..."]
        return f"Segmentation({height}x{width}: {', '.join(parts)})"

    def _repr_png_(self) -> bytes:
        """Return the overlay with a legend as a PNG, which Jupyter displays."""
        file = io.BytesIO()
        self.overlay(legend=True).save(file, format="PNG")
        return file.getvalue()

    def share(self) -> dict[str, float]:
        """Return the share of the pixels per class that occurs, the largest first."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.names)) / self.labels.size
        order = np.argsort(-counts, kind="stable")
        return {self.names[i]: float(counts[i]) for i in order if counts[i] > 0}

    def colours(self) -> np.ndarray:
        """Return the labels in their classes' colours, uint8 RGB (height, width, 3)."""
        return colourise(self.labels, self.palette)

    def overlay(self, alpha: float = 0.5, legend: bool = False) -> Image.Image:
        """Blend the image with the colours of its labels.

        Args:
            alpha: Share of the colours in [0, 1]; 0 shows the image alone, 1 the colours alone.
            legend: If True, the classes that occur are named below the picture.
        """
        picture = overlay(self.image, self.labels, self.palette, alpha)
        if legend:
            picture = with_legend(picture, self.names, self.palette, np.unique(self.labels))
        return Image.fromarray(picture)

    def save(self, path: str | Path) -> None:
        """Write the labels as an 8-bit palette PNG whose pixel values are the class ids.

        Raises:
            ValueError: The name does not end in .png; other formats would lose the ids.
            OSError: The file cannot be written.
        """
        if Path(path).suffix.lower() != ".png":
            raise ValueError(f"{path}: labels are written as PNG only; end the name in .png")
        palette_image(self.labels, self.palette).save(path, format="PNG")
