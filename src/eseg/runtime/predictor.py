"""From an exported file and any picture to labels, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from eseg.runtime.images import ImageLike, as_batch, as_pixels
from eseg.runtime.limits import check_gives_logits, check_size
from eseg.runtime.resizing import labels_at, to_size
from eseg.runtime.segmentation import Segmentation
from eseg.runtime.sessions import open_session
from eseg.runtime.upsampling import prepare, upsample_labels, upsample_labels_with_confidence


class Predictor:
    """An exported network, ready to label images.

    Args:
        path: What `eseg export` wrote: an `.onnx` file, or an `.xml` with its `.bin` beside it.
        engine: `onnxruntime` or `openvino`, which runs `.onnx` files too; by the suffix if None.
        device: `cpu` if None. ONNX Runtime also knows `cuda` and `cuda:1`, OpenVINO what
            `openvino.Core().available_devices` lists.
        precision: Arithmetic of OpenVINO: `fp32`, `bf16` or `fp16`. If None, it is never coarser
            than the file's; see `eseg.runtime.sessions.open_session`.
        threads: Threads of a CPU to compute with; the engine's own choice if None.
        with_confidence: Whether the probability of every label is wanted; it costs a softmax at
            full size.

    Attributes:
        info: What the file says of itself: class names, colours, sizes, origin.

    Raises:
        EngineError: The engine is unknown, not installed, or cannot do what was asked.
        ExportFileError: The file is missing, damaged, of another origin or of a newer version; or
            confidence is wanted of a file that holds labels only.

    Example:
        >>> predict = Predictor("street.onnx")
        >>> predict("street.jpg").overlay().save("overlay.png")
    """

    def __init__(
        self,
        path: str | Path,
        *,
        engine: str | None = None,
        device: str | None = None,
        precision: str | None = None,
        threads: int | None = None,
        with_confidence: bool = False,
    ) -> None:
        self._session = open_session(
            path, engine=engine, device=device, precision=precision, threads=threads
        )
        self.info = self._session.info
        self._path = path
        self._with_confidence = with_confidence
        if with_confidence:
            check_gives_logits(self.info, path, "confidence")
        if self.info.outputs == "logits":
            prepare()

    @overload
    def __call__(self, image: ImageLike) -> Segmentation: ...

    @overload
    def __call__(self, image: Sequence[ImageLike]) -> list[Segmentation]: ...

    def __call__(self, image: ImageLike | Sequence[ImageLike]) -> Segmentation | list[Segmentation]:
        """Label one image, or several, each at its own size.

        Args:
            image: A file; a Pillow picture of 8 bits, taken as it lies (EXIF orientation is not
                applied); uint8 RGB (height, width, 3); a sequence of those; or uint8 RGB (batch,
                height, width, 3).

        Returns:
            The labels; a list of them for a sequence or a batch.

        Raises:
            ImageError: Something is no readable image, or not of the size that the file takes.
        """
        images, several = as_batch(image)
        results = [self._label(pixels) for pixels in images]
        return results if several else results[0]

    def logits(self, image: ImageLike) -> np.ndarray:
        """The network's own output for one image, for those who make something else of it.

        Args:
            image: As for calling the predictor.

        Returns:
            Unnormalised scores, float32 (classes, height / stride, width / stride), the sides
            rounded up; those of the resized image where the file says so (`info.resize`).

        Raises:
            ImageError: It is no readable image, or not of the size that the file takes.
            ExportFileError: The file holds labels only.
        """
        check_gives_logits(self.info, self._path, "logits")
        return self._run(as_pixels(image))

    def _label(self, pixels: np.ndarray) -> Segmentation:
        output, confidence = self._run(pixels), None
        size = (pixels.shape[0], pixels.shape[1])
        if self.info.outputs == "labels":
            labels = labels_at(output, size)
        elif self._with_confidence:
            labels, confidence = upsample_labels_with_confidence(output, size)
        else:
            labels = upsample_labels(output, size)
        return Segmentation(pixels, labels, confidence, self.info.names, self.info.palette)

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        """The output for one image, brought to size, without its batch axis."""
        pixels = to_size(pixels, self.info.resize)
        check_size(self.info, self._path, pixels.shape[0], pixels.shape[1])
        return self._session.run(pixels[None])[0]
