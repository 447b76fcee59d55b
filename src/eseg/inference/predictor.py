"""From a checkpoint and any picture to labels: the class to use from other programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image

from eseg.checkpoint import Checkpoint, load_checkpoint
from eseg.config import Precision
from eseg.data.dataset import ClassTable, DataError
from eseg.data.reading import read_image
from eseg.data.transforms import to_float
from eseg.devices import autocast_dtype, choose_device
from eseg.inference.labelling import check_scales, label_images
from eseg.inference.visualize import colourise, overlay, palette_image, with_legend


@dataclass(frozen=True)
class Segmentation:
    """What a network sees in one image.

    Attributes:
        image: The image itself, uint8 RGB (height, width, 3).
        labels: Class ids, uint8 (height, width).
        confidence: Probability of each pixel's label, float32 in (0, 1], (height, width); None
            where it was not asked for.
        classes: Names and colours of the ids.
    """

    image: UInt8[np.ndarray, "height width 3"]
    labels: UInt8[np.ndarray, "height width"]
    confidence: Float32[np.ndarray, "height width"] | None
    classes: ClassTable

    def share(self) -> dict[str, float]:
        """Share of the pixels per class, the largest first; absent classes are left out."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.classes)) / self.labels.size
        order = np.argsort(-counts, kind="stable")
        return {self.classes.names[i]: float(counts[i]) for i in order if counts[i] > 0}

    def colours(self) -> UInt8[np.ndarray, "height width 3"]:
        """The labels in their classes' colours."""
        return colourise(self.labels, self.classes)

    def overlay(self, alpha: float = 0.5, legend: bool = False) -> Image.Image:
        """The image with the labels' colours laid over it, and on request a legend below."""
        picture = overlay(self.image, self.labels, self.classes, alpha)
        if not legend:
            return Image.fromarray(picture)
        present = np.unique(self.labels).tolist()
        return Image.fromarray(with_legend(picture, self.classes, present))

    def save(self, path: str | Path) -> None:
        """Write the labels as an 8-bit palette PNG: pixel values are the ids."""
        palette_image(self.labels, self.classes).save(path)


class Predictor:
    """A trained network, ready to label images of any size.

    Args:
        checkpoint: File written by training, or one already loaded.
        device: `cuda`, `mps`, `cpu`, or None for the best there is.
        precision: `auto` is bf16 on GPUs that have it and fp32 elsewhere.
        scales: Factors of the image's size to run at and average over (section 4.4).
        flip: Average with the mirror image too.
        with_confidence: Whether the probability of every label is wanted; it costs a softmax at
            full size.

    Raises:
        ValueError: A scale is not above 0.
        CheckpointError: The file is not a checkpoint.
        DeviceError: The device is not there.

    Example:
        >>> predict = Predictor("runs/camvid/best.pt")
        >>> predict("street.jpg").overlay().save("overlay.png")
    """

    def __init__(
        self,
        checkpoint: str | Path | Checkpoint,
        *,
        device: str | None = None,
        precision: Precision = "auto",
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        with_confidence: bool = True,
    ) -> None:
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = load_checkpoint(checkpoint)
        self.device = choose_device(device)
        self.dtype = autocast_dtype(precision, self.device)
        self.classes = checkpoint.classes
        check_scales(scales)
        self.scales, self.flip = tuple(scales), flip
        self.with_confidence = with_confidence
        model = checkpoint.build_model().fold().to(self.device)
        self.model = model.to(memory_format=torch.channels_last)

    def __call__(
        self, image: str | Path | Image.Image | UInt8[np.ndarray, "height width 3"]
    ) -> Segmentation:
        """Label one image at its own size.

        Args:
            image: A file, a Pillow picture of 8 bits taken as it lies (EXIF orientation is not
                applied), or uint8 RGB (height, width, 3).

        Raises:
            DataError: The file is no readable image, or the array is not of that kind.
        """
        pixels = _as_pixels(image)
        tensor = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0).to(self.device)
        with torch.inference_mode():
            labels, confidence = label_images(
                self.model,
                to_float(tensor),
                dtype=self.dtype,
                scales=self.scales,
                flip=self.flip,
                with_confidence=self.with_confidence,
            )
        return Segmentation(
            image=pixels,
            labels=labels[0].cpu().numpy(),
            confidence=None if confidence is None else confidence[0].cpu().numpy(),
            classes=self.classes,
        )


def _as_pixels(image: str | Path | Image.Image | np.ndarray) -> np.ndarray:
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        if image.mode[0] in "IF":  # Pillow would clip their values to 255
            raise DataError(
                f"a Pillow picture of mode {image.mode} has no fixed range; scale it to 8 bits, or "
                "give the file's path"
            )
        return np.array(image.convert("RGB"))
    shaped = image.ndim == 3 and image.shape[2] == 3 and image.size > 0
    if image.dtype != np.uint8 or not shaped:
        raise DataError(
            f"an image is uint8 of shape (height, width, 3), not {image.dtype} of {image.shape}"
        )
    return np.array(image)  # a copy: the caller's may be read-only, or change later
