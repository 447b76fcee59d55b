"""The two sides of a verification: the checkpoint in torch, the exported file in its engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from eseg import runtime
from eseg.checkpoint import Checkpoint, weights_digest
from eseg.config import DataConfig, open_split
from eseg.data.dataset import SegmentationDataset
from eseg.data.transforms import to_float
from eseg.deploy.export.export import opened
from eseg.engines.aotinductor import PackagedNetwork
from eseg.engines.upsampling_torch import upsample_labels
from eseg.errors import DataError, ExportFileError
from eseg.inference.predictor import ENGINES, choose_engine

_OTHER_NORMALISATIONS = {
    "the image not normalised": (0.0, 1.0),
    "the image normalised to [-1, 1]": (0.5, 0.5),
    "the image left in [0, 255]": (0.0, 1 / 255),
}
"""Mean and standard deviation where another's habit takes the place of the network's own."""


@dataclass(frozen=True)
class LogitsDifference:
    """How far the logits of one image lie apart, as shares of the range of the checkpoint's.

    Attributes:
        largest: The largest absolute difference.
        mean: The mean absolute difference.
    """

    largest: float
    mean: float


def open_truth(data: DataConfig, split: str, checkpoint: Checkpoint) -> SegmentationDataset:
    """The images and labels that a checkpoint and its file are compared on.

    Raises:
        ConfigError: The YAML of the data set is missing or wrong.
        DataError: The data set is not as described, has other classes than the network, or no such
            split.
    """
    dataset, names = open_split(data, split), checkpoint.classes.names
    if dataset.classes.names != names:
        raise DataError(f"{data.dataset}: {other_classes(dataset.classes.names, names)}")
    return dataset


def other_classes(theirs: tuple[str, ...], names: tuple[str, ...]) -> str:
    """What is wrong with something that has other classes than the checkpoint."""
    return (
        f"has the classes {', '.join(theirs)}, the checkpoint {', '.join(names)}; file, checkpoint "
        "and data set must have the same"
    )


class Reference:
    """A checkpoint's network as it was trained: in torch on the CPU, in fp32, unfolded.

    GPUs are left out because their convolutions round to ten bits (TF32) unless told otherwise.

    Attributes:
        source: SHA-256 of the weights, as exported files carry it.
        step: Optimiser steps behind them.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Build the network.

        Raises:
            CheckpointError: The weights do not fit the architecture.
            ExportError: The network does not take RGB.
        """
        self._model = opened(checkpoint).build_model()
        self.source = weights_digest(checkpoint.weights)
        self.step = checkpoint.step

    def label(
        self, image: UInt8[np.ndarray, "height width 3"]
    ) -> UInt8[np.ndarray, "height width"]:
        """The label of every pixel of an RGB image."""
        return self._label(_as_tensor(image))

    def logits(
        self, image: UInt8[np.ndarray, "height width 3"]
    ) -> Float32[np.ndarray, "classes rows columns"]:
        """The network's own output for an RGB image."""
        return self._logits(_as_tensor(image))[0].numpy()

    def with_mistakes(
        self, image: UInt8[np.ndarray, "height width 3"]
    ) -> Iterator[tuple[str, UInt8[np.ndarray, "height width"]]]:
        """The mistakes that exports are known for, and the labels of an image with each of them."""
        tensor = _as_tensor(image)
        yield "red and blue swapped", self._label(tensor.flip(1))
        full = F.interpolate(
            self._logits(tensor), tensor.shape[2:], mode="bilinear", align_corners=True
        )
        yield "logits upsampled with align_corners=True", full.argmax(1)[0].byte().numpy()
        own = self._model.normalize
        for text, (mean, std) in _OTHER_NORMALISATIONS.items():
            # What the network's own normalisation turns into the wrongly normalised image.
            yield text, self._label(((tensor - mean) / std - own.offset) / own.factor)

    @torch.inference_mode()
    def _logits(self, image: Tensor) -> Float[Tensor, "1 classes rows columns"]:
        return self._model.logits(image)

    def _label(self, image: Tensor) -> UInt8[np.ndarray, "height width"]:
        size = (image.shape[2], image.shape[3])
        return upsample_labels(self._logits(image), size)[0].numpy()


class ExportedFile:
    """An exported file as its users run it.

    Args:
        path: What `eseg export` wrote.
        engine: What shall run it, the first that can if None; see `eseg.Predictor`.
        device: Where; see `eseg.Predictor`.

    Attributes:
        path: The file.
        engine: What runs it.
        info: What it says of itself.

    Raises:
        ExportFileError: The file is no export of eseg.
        EngineError: The engine is not there or does not run such a file.
        DeviceError: The device is not there.
    """

    def __init__(self, path: Path, engine: str | None = None, device: str | None = None) -> None:
        self.path = path
        self.engine = choose_engine(path, engine)
        if not ENGINES[self.engine]:
            raise ExportFileError(
                f"{path}: not an exported file (.onnx, .xml or .pt2); write one: eseg export"
            )
        self._network: runtime.Predictor | PackagedNetwork
        if self.engine == "aotinductor":
            self._network = PackagedNetwork(
                path, device=device, precision=None, with_confidence=False
            )
        else:
            self._network = runtime.Predictor(path, engine=self.engine, device=device)
        self.info = self._network.info

    def label(
        self, image: UInt8[np.ndarray, "height width 3"]
    ) -> UInt8[np.ndarray, "height width"]:
        """The label of every pixel of an RGB image."""
        if isinstance(self._network, PackagedNetwork):
            return self._network(image[None])[0][0]
        return self._network(image).labels

    def logits_apart(
        self, image: UInt8[np.ndarray, "height width 3"], reference: Reference
    ) -> LogitsDifference | None:
        """How far its logits for an image are from the checkpoint's; None where it gives none.

        Logits of another shape are those of another network and cannot be compared either.
        """
        if isinstance(self._network, PackagedNetwork) or self.info.outputs != "logits":
            return None
        expected, given = reference.logits(image), self._network.logits(image)
        if expected.shape != given.shape:
            return None
        apart = np.abs(given - expected) / max(np.ptp(expected), np.finfo(np.float32).tiny)
        return LogitsDifference(largest=float(apart.max()), mean=float(apart.mean()))


def _as_tensor(image: np.ndarray) -> Float[Tensor, "1 3 height width"]:
    return to_float(torch.from_numpy(np.array(image.transpose(2, 0, 1)))[None])
