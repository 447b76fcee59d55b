"""Samples as PyTorch takes them: augmented crops to train on, whole images to evaluate."""

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
from eseg.data.transforms import AugmentConfig, ResizeConfig, augment
from eseg.errors import DataError


class TrainBatch(NamedTuple):
    """Crops of one training step, 8-bit as they travel between processes.

    Attributes:
        image: RGB in [0, 255]; `to_float` makes it what the model takes.
        mask: Class ids, or 255 for pixels without a label; the loss takes `mask.long()`.
    """

    image: UInt8[Tensor, "batch 3 height width"]
    mask: UInt8[Tensor, "batch height width"]


class EvalImage(NamedTuple):
    """One whole image at its own size.

    Attributes:
        image: RGB in [0, 255].
        mask: Class ids, or 255 for pixels without a label.
        name: The sample's name, unique in its split.
    """

    image: UInt8[Tensor, "height width 3"]
    mask: UInt8[Tensor, "height width"]
    name: str


@dataclass(frozen=True)
class TrainDataset(Dataset[tuple[Tensor, Tensor] | DataError]):
    """Augmented samples by (epoch, index); the same key gives the same crop, anywhere.

    The random numbers come from `default_rng` over the words (constant, seed, epoch, index), in
    this order; nothing else has a say, neither the worker nor the step nor earlier samples. A
    `DataError` is returned, not raised: PyTorch would bury a worker's error in a traceback.

    Attributes:
        dataset: Where the samples come from.
        augmentation: Crop size and ranges.
        seed: In [0, 2**32).
        source: Which source of the batches this is; it decides the constant.
        resize: What images are brought to before they are augmented.
    """

    dataset: SegmentationDataset
    augmentation: AugmentConfig
    seed: int
    source: int = 0
    resize: ResizeConfig | None = None

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor] | DataError:
        """Read and augment sample `index` as it is in `epoch`."""
        epoch, index = key
        words = (AUGMENTATION_STREAMS[self.source], self.seed, epoch, index)
        rng = np.random.default_rng(words)
        try:
            return augment(self.dataset[index], self.augmentation, rng, self.resize)
        except DataError as error:
            return error


@dataclass(frozen=True)
class MixedDataset(Dataset[tuple[Tensor, Tensor] | DataError]):
    """The sources of a batch as one data set; the keys are those of `MixedSampler`."""

    sources: tuple[TrainDataset, ...]

    def __getitem__(self, key: tuple[int, Key]) -> tuple[Tensor, Tensor] | DataError:
        """Read and augment a sample of one source."""
        source, of_source = key
        return self.sources[source][of_source]


@dataclass(frozen=True)
class PseudoLabelled:
    """Training samples whose labels come from another network (section 4.4).

    Attributes:
        dataset: The samples; pixels that network was not sure of have no label.
        fraction: Their share of every batch, in (0, 1); the rest comes from the labelled set.
    """

    dataset: SegmentationDataset
    fraction: float = 0.5


@dataclass(frozen=True)
class EvalDataset(Dataset[EvalImage | DataError]):
    """Whole images as tensors; a `DataError` is returned as in `TrainDataset`."""

    dataset: SegmentationDataset

    def __getitem__(self, index: int) -> EvalImage | DataError:
        """Read sample `index`."""
        try:
            image, mask, name = self.dataset[index]
        except DataError as error:
            return error
        return EvalImage(torch.from_numpy(np.array(image)), torch.from_numpy(np.array(mask)), name)
