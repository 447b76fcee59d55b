"""Whether an exported file gives the labels of its checkpoint, on real images with labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eseg.checkpoint import Checkpoint
from eseg.config import DataConfig
from eseg.data.transforms import CropWindow, ResizeConfig, resize_image, resize_mask
from eseg.deploy.export.quantise import MAX_DROP
from eseg.deploy.verify.accuracy import Track
from eseg.deploy.verify.reference import (
    ExportedFile,
    LogitsDifference,
    Reference,
    open_truth,
    other_classes,
)
from eseg.errors import DataError, ExportFileError
from eseg.metrics import ConfusionMatrix, Scores, scores
from eseg.runtime.class_table import IGNORE_INDEX, ClassTable, Sample
from eseg.runtime.network_info import ExportInfo, Precision

AGREEMENT: dict[Precision, float] = {"fp32": 0.999, "fp16": 0.995, "int8": 0.985}
"""Share of all labels that must be equal by default, by the arithmetic of the file."""


@dataclass(frozen=True)
class Tolerance:
    """How far an exported file may be from its checkpoint.

    Attributes:
        agreement: Share of all pixels that must get the checkpoint's label, in [0, 1].
        max_drop: Points of mIoU, of 100, that may be lost.
    """

    agreement: float
    max_drop: float


@dataclass(frozen=True)
class ComparedImage:
    """One image in the eyes of checkpoint and file.

    Attributes:
        name: The sample's name, unique in its split.
        image: The image as both have seen it, uint8 RGB (height, width, 3).
        expected: The checkpoint's labels, uint8 (height, width).
        given: The file's labels.
    """

    name: str
    image: np.ndarray
    expected: np.ndarray
    given: np.ndarray

    @property
    def agreement(self) -> float:
        """Share of the pixels that have the same label."""
        return float((self.expected == self.given).mean())


@dataclass(frozen=True)
class Verification:
    """How an exported file compares with its checkpoint.

    Attributes:
        file: The exported file.
        info: What it says of itself.
        engine: What ran it.
        classes: The classes of both.
        images: Number of images.
        resized: How many of them were resized, to what the file takes or the run brought them to.
        agreement: Share of all pixels that have the same label.
        labelled_agreement: The same among the pixels whose true class is known.
        expected: The checkpoint's scores.
        given: The file's scores.
        worst: The image with the lowest agreement.
        logits: How far the logits of that image lie apart; None for a file of labels.
        clues: What may explain the differences, a line each.
        tolerance: What was allowed.
    """

    file: Path
    info: ExportInfo
    engine: str
    classes: ClassTable
    images: int
    resized: int
    agreement: float
    labelled_agreement: float
    expected: Scores
    given: Scores
    worst: ComparedImage
    logits: LogitsDifference | None
    clues: tuple[str, ...]
    tolerance: Tolerance

    @property
    def drop(self) -> float:
        """Points of mIoU, of 100, that the file loses; below 0 if it is better."""
        return 100 * (self.expected.miou - self.given.miou)

    @property
    def failure(self) -> str | None:
        """Why the file does not pass, in one line; None if it does."""
        if not self.agreement >= self.tolerance.agreement:
            return (
                f"only {percent(self.agreement)} of the labels are the checkpoint's; at least "
                f"{100 * self.tolerance.agreement:g} % must be"
            )
        if not self.drop <= self.tolerance.max_drop:
            return (
                f"{self.drop:.2f} points of mIoU are lost; at most {self.tolerance.max_drop:g} "
                "may be"
            )
        return None

    def to_dict(self) -> dict[str, Any]:
        """Everything but the picture, as JSON can hold it."""
        expected, given = self.expected.to_dict(), self.given.to_dict()
        return {
            "file": str(self.file),
            "engine": self.engine,
            "precision": self.info.precision,
            "outputs": self.info.outputs,
            "size": self.info.size,
            "images": self.images,
            "resized": self.resized,
            "passed": self.failure is None,
            "failure": self.failure,
            "clues": self.clues,
            "tolerance": asdict(self.tolerance),
            "agreement": self.agreement,
            "labelled_agreement": self.labelled_agreement,
            "miou": {"checkpoint": expected["miou"], "file": given["miou"]},
            "drop": self.drop,
            "classes": self.classes.names,
            "iou": {"checkpoint": expected["iou"], "file": given["iou"]},
            "worst": {"name": self.worst.name, "agreement": self.worst.agreement},
            "logits": None if self.logits is None else asdict(self.logits),
        }


def verify(
    file: str | Path,
    checkpoint: Checkpoint,
    data: DataConfig,
    *,
    split: str = "val",
    limit: int | None = None,
    agreement: float | None = None,
    max_drop: float = MAX_DROP,
    engine: str | None = None,
    device: str | None = None,
    track: Track | None = None,
) -> Verification:
    """Run the images of a split through an exported file and through its checkpoint.

    The checkpoint runs in torch on the CPU in fp32, unfolded: the network as it was trained. A file
    for one size gets every image resized to that size, and so does the checkpoint; the truth is
    resized with it, each pixel taking the nearest one's label. So it is done with what the
    checkpoint's run brought images to.

    Args:
        file: What `eseg export` wrote.
        checkpoint: What it should equal.
        data: The data set; its classes must be the network's.
        split: Which split.
        limit: Take so many images, spread evenly over the split; all if None.
        agreement: Share of all labels that must be equal, in [0, 1]; if None, what `AGREEMENT` says
            for the file's arithmetic.
        max_drop: Points of mIoU, of 100, that may be lost.
        engine: What runs the file, the first that can if None; see `eseg.Predictor`.
        device: Where the file runs; see `eseg.Predictor`.
        track: Wraps the numbers of the images to show progress.

    Raises:
        CheckpointError: The weights do not fit the checkpoint's architecture.
        ExportError: The checkpoint's network does not take RGB.
        ExportFileError: The file is no export of eseg, or of a network with other classes.
        EngineError: The engine is not there, or does not run such a file.
        DeviceError: The device is not there.
        DataError: The data set is not as described, has other classes than the network, or its
            split has no labels.
        ValueError: The limit is below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"at least 1 image is needed, not {limit}")
    exported = ExportedFile(Path(file), engine, device)
    info, names = exported.info, checkpoint.classes.names
    if info.names != names:
        raise ExportFileError(f"{file}: {other_classes(info.names, names)}")
    dataset = open_truth(data, split, checkpoint)
    reference = Reference(checkpoint)

    count = min(limit or len(dataset), len(dataset))
    indices: Iterable[int] = [place * len(dataset) // count for place in range(count)]
    if track is not None:
        indices = track(indices, description="verifying")
    tally = _Tally(len(names))
    for index in indices:
        sample, resized = _fitted(dataset[index], info.size, checkpoint.resize)
        expected, given = reference.label(sample.image), exported.label(sample.image)
        compared = ComparedImage(sample.name, sample.image, expected, given)
        tally.add(compared, sample.mask, resized)
    if not tally.labelled:
        raise DataError(
            f"{data.dataset}: no pixel of split '{split}' has a label, so that there is no mIoU to "
            "compare; take another split"
        )

    wanted = AGREEMENT[info.precision] if agreement is None else agreement
    result = Verification(
        file=exported.path,
        info=info,
        engine=exported.engine,
        classes=checkpoint.classes,
        images=count,
        resized=tally.resized,
        agreement=tally.equal / tally.pixels,
        labelled_agreement=tally.labelled_equal / tally.labelled,
        expected=scores(tally.expected.matrix, absent_counts=dataset.absent_counts),
        given=scores(tally.given.matrix, absent_counts=dataset.absent_counts),
        worst=tally.worst,
        logits=exported.logits_apart(tally.worst.image, reference),
        clues=(),
        tolerance=Tolerance(wanted, max_drop),
    )
    return replace(result, clues=tuple(_clues(result, reference)))


class _Tally:
    """What adds up over the images."""

    worst: ComparedImage

    def __init__(self, classes: int) -> None:
        self.expected, self.given = ConfusionMatrix(classes), ConfusionMatrix(classes)
        self.resized = self.pixels = self.equal = self.labelled = self.labelled_equal = 0
        self._lowest = math.inf

    def add(self, compared: ComparedImage, mask: np.ndarray, resized: bool) -> None:
        """Count one image, its true classes in `mask`."""
        equal, labelled = compared.expected == compared.given, mask != IGNORE_INDEX
        self.resized += resized
        self.pixels += equal.size
        self.equal += int(equal.sum())
        self.labelled += int(labelled.sum())
        self.labelled_equal += int((equal & labelled).sum())
        truth = torch.from_numpy(np.array(mask))
        self.expected.update(torch.from_numpy(compared.expected), truth)
        self.given.update(torch.from_numpy(compared.given), truth)
        if compared.agreement < self._lowest:
            self.worst, self._lowest = compared, compared.agreement


def percent(share: float) -> str:
    """A share in per cent, rounded down: what falls short of 100 % must not read so."""
    return f"{math.floor(1e5 * share) / 1e3:g} %"


def _fitted(
    sample: Sample, size: tuple[int, int] | None, resize: ResizeConfig | None
) -> tuple[Sample, bool]:
    """A sample at the size that a network takes, and whether it had to be resized for that."""
    if size is None and resize is not None:
        height, width = sample.mask.shape
        size = resize.size_of((height, width))
    if size is None or size == sample.mask.shape:
        return sample, False
    whole = CropWindow(scaled=size, offset=(0, 0), crop=size)
    resized = resize_image(sample.image, whole), resize_mask(sample.mask, whole)
    return Sample(*resized, sample.name), True


def _clues(result: Verification, reference: Reference) -> Iterator[str]:
    """What may explain why a file differs, as far as that is known without seeing its insides."""
    if result.info.source != reference.source:
        yield (
            f"the file was made of other weights (step {result.info.step}) than the checkpoint's "
            f"(step {reference.step})"
        )
    if result.failure is None:
        return
    worst = result.worst
    for mistake, labels in reference.with_mistakes(worst.image):
        share = float((labels == worst.given).mean())
        if share > worst.agreement and share >= result.tolerance.agreement:
            yield f"with {mistake}, {percent(share)} of the worst image's labels would be equal"
