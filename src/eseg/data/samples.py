"""Samples for PyTorch: augmented crops to train on, whole images to evaluate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from eseg.data.dataset import SegmentationDataset
from eseg.data.sampling import AUGMENTATION_STREAMS, Key
from eseg.data.transforms import AugmentConfig, augment
from eseg.errors import DataError
from eseg.runtime.resizing import ResizeConfig


class TrainBatch(NamedTuple):
    """Crops of one training step, 8-bit as they travel between processes.

    Attributes:
        image: RGB in [0, 255]; `to_float` converts it to the model's input.
        mask: Class ids, or `IGNORE_INDEX` where there is no label; the loss takes `mask.long()`.
    """

    image: UInt8[Tensor, "batch 3 height width"]
    mask: UInt8[Tensor, "batch height width"]


class EvalImage(NamedTuple):
    """One whole image at its own size, laid out as images are stored.

    Attributes:
        image: RGB in [0, 255].
        mask: Class ids, or `IGNORE_INDEX` where there is no label.
        name: The sample's name, unique in its split.
    """

    image: UInt8[Tensor, "height width 3"]
    mask: UInt8[Tensor, "height width"]
    name: str


@dataclass(frozen=True)
class TrainDataset(Dataset[tuple[Tensor, Tensor] | DataError]):
    """Augmented samples by the keys of `TrainSampler`; the same key gives the same crop, anywhere.

    The random numbers come from `default_rng` over the words (constant of the source, seed, epoch,
    index), in this order, and depend on nothing else: not on the worker, the step or earlier
    samples. A `DataError` is returned, not raised: PyTorch would hide a worker's error in a
    traceback.

    Attributes:
        sources: The samples before augmentation: the labelled set, then pseudo-labels, if any.
        augmentation: Crop size and ranges.
        seed: In [0, 2**32).
        resize: The size that images are resized to before augmentation; None for their own.
    """

    sources: tuple[SegmentationDataset, ...]
    augmentation: AugmentConfig
    seed: int
    resize: ResizeConfig | None = None

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor] | DataError:
        """Read sample `index` of a source and augment it for `epoch`."""
        source, epoch, index = key
        rng = np.random.default_rng((AUGMENTATION_STREAMS[source], self.seed, epoch, index))
        try:
            return augment(self.sources[source][index], self.augmentation, rng, self.resize)
        except DataError as error:
            return error


@dataclass(frozen=True)
class PseudoLabelled:
    """Training samples whose labels come from another network (section 4.4).

    Attributes:
        dataset: The samples; pixels with a low confidence have no label.
        fraction: Their share of every batch, in (0, 1); the rest comes from the labelled set.
    """

    dataset: SegmentationDataset
    fraction: float = 0.5


@dataclass(frozen=True)
class EvalDataset(Dataset[EvalImage | DataError]):
    """Whole images as tensors; a `DataError` is returned, as by `TrainDataset`."""

    dataset: SegmentationDataset

    def __getitem__(self, index: int) -> EvalImage | DataError:
        """Read sample `index`."""
        try:
            image, mask, name = self.dataset[index]
        except DataError as error:
            return error
        # Copies, because tensors must not share read-only memory.
        return EvalImage(torch.from_numpy(np.array(image)), torch.from_numpy(np.array(mask)), name)
