"""The camera: from places in the street to pixels and back."""

from __future__ import annotations

import numpy as np

from eseg.streets.scene import Scene

FAR = 1000.0
"""Distance in metres that stands for the horizon."""


class View:
    """The camera at one picture size.

    Attributes:
        size: (height, width) of the picture.
        focal: Focal length in pixels.
        slope: float32 (width,); metres to the right per metre ahead.
        drop: float32 (height, width); metres downwards per metre ahead.
    """

    def __init__(self, scene: Scene, size: tuple[int, int]) -> None:
        height, width = size
        camera = scene.camera
        self.size = size
        self.scene = scene
        self.focal = camera.focal * (height * width / 2) ** 0.5
        self.column = camera.vanish * width
        self.row = camera.horizon * height
        columns = np.arange(width, dtype=np.float32) + 0.5 - self.column
        rows = np.arange(height, dtype=np.float32)[:, None] + 0.5 - self.row
        self.slope = (columns / self.focal).astype(np.float32)
        self.drop = ((rows + camera.roll * columns) / self.focal).astype(np.float32)

    def project(self, x: float, distance: float, height: float) -> tuple[float, float]:
        """The (column, row) at which a point of the street appears."""
        camera = self.scene.camera
        across = x + self.scene.curve * distance**2 - camera.x
        column = self.column + self.focal * across / distance
        row = self.row + self.focal * (camera.height - height) / distance
        return column, row - camera.roll * (column - self.column)
