"""Engine: the one contract of everything that turns images into labels."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from eseg.errors import EngineError, ExportFileError, ImageError
from eseg.runtime import upsampling
from eseg.runtime.network_info import NetworkInfo
from eseg.runtime.resizing import labels_at, to_size


class Labels(NamedTuple):
    """Labels of some images of one size.

    Attributes:
        ids: Class ids, uint8 (batch, height, width).
        confidence: Probability of each label in (0, 1], float32 (batch, height, width), or None.
    """

    ids: np.ndarray
    confidence: np.ndarray | None


class Engine(ABC):
    """A loaded network in three stages; each takes the output of the one before.

    `labels(network(preprocess(images)), size)` is the only way from images to labels in eseg:
    `label` goes it, and benchmarks time its stages apart. This base class does the first and the
    last stage in NumPy.

    Attributes:
        name: The engine, a key of `engine_table.ENGINES`.
        source: The file or network that was loaded, for messages.
        info: Classes, sizes and origin of the network.
        precision: Arithmetic that it computes in: `fp32`, `bf16`, `fp16` or `int8`.
        takes_batches: True if several images go through the network at once; otherwise the stages
            take batches of one.
    """

    name: str
    source: str
    info: NetworkInfo
    precision: str
    takes_batches: ClassVar[bool] = False

    @property
    def runs_ahead(self) -> bool:
        """True if stages return before the device has done its work; see `wait`."""
        return False

    def preprocess(self, images: np.ndarray) -> Any:
        """Bring images to the size that the network takes (`info.resize`).

        Args:
            images: uint8 RGB (batch, height, width, 3).

        Returns:
            The input of `network`; here uint8 RGB, the images themselves if their size fits.

        Raises:
            ImageError: The network takes images of another size only.
        """
        if self.info.resize is not None:
            images = np.stack([to_size(image, self.info.resize) for image in images])
        height, width = images.shape[1:3]
        if self.info.size not in (None, (height, width)):
            raise ImageError(
                f"the image has {height}x{width} pixels (height x width), but {self.source} takes "
                f"{'{}x{}'.format(*self.info.size)} only; resize the image, or export the network "
                f"with `size` {height}x{width}, or without `size` for every size"
            )
        return images

    @abstractmethod
    def network(self, x: Any) -> Any:
        """Run the network on what `preprocess` returned."""

    def labels(
        self, output: Any, size: tuple[int, int], *, with_confidence: bool = False
    ) -> Labels:
        """Make labels at the images' own size.

        Args:
            output: Return value of `network`.
            size: (height, width) of the images before `preprocess`.
            with_confidence: If True, compute each label's probability too.

        Raises:
            ExportFileError: Confidence is wanted of a network that gives labels only.
        """
        if self.info.outputs == "labels":
            if with_confidence:
                self.require_logits("confidence")
            return Labels(np.stack([labels_at(ids, size) for ids in output]), None)
        if not with_confidence:
            return Labels(np.stack([upsampling.upsample_labels(x, size) for x in output]), None)
        pairs = [upsampling.upsample_labels_with_confidence(x, size) for x in output]
        return Labels(*(np.stack(maps) for maps in zip(*pairs, strict=True)))

    def label(self, images: np.ndarray, *, with_confidence: bool = False) -> Labels:
        """Label images of one size; the arguments are those of the stages."""
        height, width = images.shape[1:3]
        step = len(images) if self.takes_batches else 1
        parts = [
            self.labels(
                self.network(self.preprocess(images[start : start + step])),
                (height, width),
                with_confidence=with_confidence,
            )
            for start in range(0, len(images), step)
        ]
        if len(parts) == 1:
            return parts[0]
        confidence = [part.confidence for part in parts if part.confidence is not None]
        return Labels(
            np.concatenate([part.ids for part in parts]),
            np.concatenate(confidence) if confidence else None,
        )

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return the network's own output for images of one size.

        Args:
            images: uint8 RGB (batch, height, width, 3), a batch of one unless `takes_batches`.

        Returns:
            Unnormalised scores, float32 (batch, classes, height / stride, width / stride), the
            sides rounded up; those of the resized images where `info.resize` is given.

        Raises:
            ImageError: As for `preprocess`.
            ExportFileError: The network gives labels only.
        """
        self.require_logits("logits")
        return np.asarray(self.network(self.preprocess(images)))

    def require_logits(self, wanted: str) -> None:
        """Raise `ExportFileError` if the network gives labels only; `wanted` is for the message."""
        if self.info.outputs != "logits":
            raise ExportFileError(
                f"{self.source}: gives labels only, not {wanted}; export it with `outputs` logits"
            )

    def prepare(self) -> None:
        """Compile now what would otherwise be compiled with the first image."""
        if self.info.outputs == "logits":
            upsampling.prepare()

    def wait(self) -> None:
        """Return once the device has done all it was told."""
        assert not self.runs_ahead

    def device_bytes(self) -> int | None:
        """Return the most memory used on a GPU so far, or None if there is none to measure."""
        return None


@dataclass(frozen=True)
class EngineOptions:
    """Choices that a network is loaded with; see `open_engine`."""

    device: str | None = None
    precision: str = "auto"
    threads: int | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self) -> None:
        """Refuse values that no engine can use."""
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"`threads` must be at least 1, not {self.threads}")
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise ValueError(f"`scales` must be factors above 0, not {list(self.scales)}")

    @property
    def averages(self) -> bool:
        """True if several passes over an image are averaged."""
        return self.scales != (1.0,) or self.flip


def check_signature(
    path: Path, info: NetworkInfo, inputs: int, outputs: int, is_uint8: bool, shape: Sequence[Any]
) -> None:
    """Refuse a network that does not take what its description says.

    Args:
        path: The file.
        info: Its description.
        inputs: Number of the network's inputs.
        outputs: Number of its outputs.
        is_uint8: True if the first input is of 8 bits.
        shape: Of that input, None for each side that may have any length.

    Raises:
        ExportFileError: It does not.
    """
    height, width = info.size or (None, None)
    if (inputs, outputs, is_uint8, [*shape]) != (1, 1, True, [1, height, width, 3]):
        raise ExportFileError(
            f"{path}: its network does not take one uint8 image of the size in its description; "
            "export it again"
        )


def not_installed(package: str, error: ImportError) -> EngineError:
    """Build the error for an engine whose package cannot be imported."""
    return EngineError(f"the package {package} cannot be imported ({error}): pip install {package}")


def unreadable(path: Path, engine: str, error: Exception) -> ExportFileError:
    """Build the error for a file that an engine refuses, from the last line of its message."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return ExportFileError(
        f"{path}: {engine} cannot load it ({lines[-1].strip()}); it may be truncated, damaged or "
        f"written for a newer {engine}: copy or export it again"
    )
