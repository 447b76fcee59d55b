"""Reference of a verification: the checkpoint in torch, and the known mistakes of exports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8

from eseg.checkpoint import Checkpoint
from eseg.engines.torch_engine import TorchEngine, open_network
from eseg.runtime.engine import Engine, EngineOptions

_OTHER_NORMALISATIONS = {
    "the image not normalised": (0.0, 1.0),
    "the image normalised to [-1, 1]": (0.5, 0.5),
    "the image left in [0, 255]": (0.0, 1 / 255),
}
"""Mean and standard deviation where another's habit takes the place of the network's own."""


@dataclass(frozen=True)
class LogitsDifference:
    """Absolute differences of an image's logits, as shares of the range of the checkpoint's."""

    largest: float
    mean: float


def open_reference(checkpoint: Checkpoint) -> TorchEngine:
    """Load a checkpoint as it was trained: in torch on the CPU, in fp32, unfolded.

    GPUs are left out because their convolutions round to ten bits (TF32) unless told otherwise.

    Raises:
        CheckpointError: The weights do not fit the architecture, or it does not take RGB.
    """
    return open_network(
        checkpoint, "torch", EngineOptions(device="cpu", precision="fp32"), folded=False
    )


@torch.inference_mode()
def known_mistakes(
    reference: TorchEngine, image: UInt8[np.ndarray, "height width 3"]
) -> Iterator[tuple[str, UInt8[np.ndarray, "height width"]]]:
    """Yield the mistakes that exports are known for, and an image's labels with each of them."""
    size = (image.shape[0], image.shape[1])
    x = reference.preprocess(image[None])  # (1, 3, height, width)
    yield "red and blue swapped", reference.labels(reference.network(x.flip(1)), size).ids[0]
    (logits,) = reference.network(x)  # (1, classes, rows, columns)
    full = F.interpolate(logits, size, mode="bilinear", align_corners=True)
    yield "logits upsampled with align_corners=True", full.argmax(1)[0].byte().numpy()
    own = reference.model.normalize
    for mistake, (mean, std) in _OTHER_NORMALISATIONS.items():
        # The network's own normalisation turns this into the wrongly normalised image.
        wrong = ((x - mean) / std - own.offset) / own.factor
        yield mistake, reference.labels(reference.network(wrong), size).ids[0]


def compare_logits(
    reference: Engine, exported: Engine, image: UInt8[np.ndarray, "height width 3"]
) -> LogitsDifference | None:
    """Compare the logits of one image; None for a file of labels.

    Logits of another shape are those of another network and cannot be compared either.
    """
    if exported.info.outputs != "logits":
        return None
    expected, given = reference.logits(image[None]), exported.logits(image[None])
    if expected.shape != given.shape:
        return None
    apart = np.abs(given - expected) / max(np.ptp(expected), np.finfo(np.float32).tiny)
    return LogitsDifference(largest=float(apart.max()), mean=float(apart.mean()))
