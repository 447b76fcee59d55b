"""Predictor: any image to labels, over any engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from eseg.runtime.engine_table import open_engine
from eseg.runtime.images import ImageLike, as_batch, as_pixels
from eseg.runtime.segmentation import Segmentation


class Predictor:
    """A trained network, ready to label images of any size.

    Args:
        network: A checkpoint (`best.pt` of a run) or an exported file; see `open_engine`.
        engine: Engine that runs it; see `open_engine`.
        device: Device to compute on; see `open_engine`.
        precision: Arithmetic; see `open_engine`.
        threads: Threads of a CPU; see `open_engine`.
        scales: Factors of the image's size to run at and average over; checkpoints only.
        flip: If True, average with the mirror image too; checkpoints only.
        with_confidence: If True, compute the probability of every label too, which costs a softmax
            at full size.

    Attributes:
        engine: The loaded `Engine`.
        info: Classes, sizes and origin of the network.
        names: One name per class; a label is a position in them.
        palette: One RGB colour in [0, 255] per class.

    Raises:
        CheckpointError: The file is not a checkpoint, or its network does not take RGB.
        ExportFileError: The file is not an export of eseg, or cannot give what is wanted.
        EngineError: The engine is unknown, not installed, or cannot do what was asked.
        DeviceError: The device does not exist.
        ValueError: A scale is not above 0.

    Example:
        >>> predict = Predictor("runs/camvid/best.pt")
        >>> predict("street.jpg").overlay().save("overlay.png")
    """

    def __init__(
        self,
        network: Any,
        *,
        engine: str | None = None,
        device: str | None = None,
        precision: str = "auto",
        threads: int | None = None,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        with_confidence: bool = False,
    ) -> None:
        self.engine = open_engine(
            network,
            engine=engine,
            device=device,
            precision=precision,
            threads=threads,
            scales=tuple(scales),
            flip=flip,
        )
        self.info = self.engine.info
        self.names, self.palette = self.info.names, self.info.palette
        self._with_confidence = with_confidence
        if with_confidence:
            self.engine.require_logits("confidence")
        self.engine.prepare()

    @overload
    def __call__(self, image: ImageLike) -> Segmentation: ...

    @overload
    def __call__(self, image: Sequence[ImageLike]) -> list[Segmentation]: ...

    def __call__(self, image: ImageLike | Sequence[ImageLike]) -> Segmentation | list[Segmentation]:
        """Label one image, or several, each at its own size.

        An engine that takes batches is given images of one size together, so memory grows with
        their number.

        Args:
            image: A file; a Pillow picture of 8 bits, used as is (EXIF orientation is not
                applied); uint8 RGB (height, width, 3); a sequence of those; or uint8 RGB (batch,
                height, width, 3).

        Returns:
            The labels; a list of them for a sequence or a batch.

        Raises:
            ImageError: Something is not a readable image, or not of the size that the file takes.
            EngineError: The network cannot be compiled here.
        """
        images, several = as_batch(image)
        alike: dict[tuple[int, ...], list[int]] = {}
        for index, pixels in enumerate(images):
            alike.setdefault(pixels.shape, []).append(index)
        results: dict[int, Segmentation] = {}
        for indices in alike.values():
            first = images[indices[0]]
            batch = first[None] if len(indices) == 1 else np.stack([images[i] for i in indices])
            labels = self.engine.label(batch, with_confidence=self._with_confidence)
            for place, index in enumerate(indices):
                results[index] = Segmentation(
                    image=images[index],
                    labels=labels.ids[place],
                    confidence=None if labels.confidence is None else labels.confidence[place],
                    names=self.names,
                    palette=self.palette,
                )
        ordered = [results[index] for index in range(len(images))]
        return ordered if several else ordered[0]

    def logits(self, image: ImageLike) -> np.ndarray:
        """Return the network's own output for one image, for those who make something else of it.

        Args:
            image: As for calling the predictor.

        Returns:
            float32 (classes, height / stride, width / stride); see `Engine.logits`.

        Raises:
            ImageError: It is not a readable image, or not of the size that the file takes.
            ExportFileError: The file gives labels only.
        """
        return self.engine.logits(as_pixels(image)[None])[0]
