"""Verification of an exported file: its labels beside its checkpoint's, on real images.

Where they differ, those of the known mistakes of exports are tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8

from eseg.checkpoint import Checkpoint, load_checkpoint
from eseg.choices import FilePrecision
from eseg.config import DataConfig
from eseg.data.dataset import evenly_spaced
from eseg.data.transforms import CropWindow, resize_image, resize_mask
from eseg.deploy.export.quantise import MAX_DROP
from eseg.deploy.verify.verification import (
    ComparedImage,
    LogitsDifference,
    Tolerance,
    Verification,
    percent,
)
from eseg.engines.torch_engine import TorchEngine, open_network
from eseg.errors import DataError, ExportFileError
from eseg.inference.evaluate import open_own_split
from eseg.metrics import ConfusionMatrix, scores
from eseg.reports.reporter import SILENT, Reporter
from eseg.runtime.class_table import IGNORE_INDEX, Sample, require_same_classes
from eseg.runtime.engine import Engine, EngineOptions
from eseg.runtime.engine_table import format_of, open_engine

AGREEMENT: dict[FilePrecision, float] = {"fp32": 0.999, "fp16": 0.995, "int8": 0.985}
"""Share of all labels that must be equal by default, by the arithmetic of the file."""

_OTHER_NORMALISATIONS = {
    "the image not normalised": (0.0, 1.0),
    "the image normalised to [-1, 1]": (0.5, 0.5),
    "the image left in [0, 255]": (0.0, 1 / 255),
}
"""Mean and standard deviation where another's habit takes the place of the network's own."""


def verify(
    file: str | Path,
    checkpoint: str | Path | Checkpoint,
    data: DataConfig,
    *,
    split: str = "val",
    limit: int | None = None,
    agreement: float | None = None,
    max_drop: float = MAX_DROP,
    engine: str | None = None,
    device: str | None = None,
    reporter: Reporter = SILENT,
) -> Verification:
    """Run the images of a split through an exported file and through its checkpoint.

    The checkpoint runs in torch on the CPU in fp32, unfolded: the network as it was trained. Both
    get the images as they are, and bring them to the size of training themselves. For a file for
    one size every image is resized to that size first, and the truth with it, each pixel taking
    the nearest one's label.

    Args:
        file: An exported file.
        checkpoint: What it should equal.
        data: The data set; its classes must be the network's.
        split: Name of the split.
        limit: Number of images, spread evenly over the split; all if None.
        agreement: Share of all labels that must be equal, in [0, 1]; if None, that of `AGREEMENT`
            for the file's arithmetic.
        max_drop: Points of mIoU, of 100, that may be lost.
        engine: Engine that runs the file; see `eseg.runtime.open_engine`.
        device: Device that it runs on; see there.
        reporter: Shows progress.

    Raises:
        CheckpointError: The checkpoint cannot be used, or does not take RGB.
        ExportFileError: The file is not an export of eseg.
        EngineError, DeviceError: The engine or the device is not there or does not fit.
        DataError: The data set is not as described, file, network and data set differ in their
            classes, or the split has no labels.
        ValueError: The limit is below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"`limit` must be at least 1 image, not {limit}")
    path = Path(file)
    if format_of(path) is None:
        raise ExportFileError(
            f"{path}: not an exported file (.onnx, .xml or .pt2); write one: eseg export"
        )
    exported = open_engine(path, engine=engine, device=device)
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = load_checkpoint(checkpoint)
    info = exported.info
    require_same_classes(
        checkpoint.classes, info.names, "the checkpoint", str(path), "export it again"
    )
    dataset = open_own_split(checkpoint.classes, data, split)
    reference = open_reference(checkpoint)

    count = min(limit or len(dataset), len(dataset))
    expected, given, both, both_labelled = (ConfusionMatrix(len(info.names)) for _ in range(4))
    worst: ComparedImage | None = None
    resized = 0
    for index in reporter.track(evenly_spaced(len(dataset), count), description="verifying"):
        sample, is_resized = _fitted(dataset[index], info.size)
        resized += is_resized
        image = np.ascontiguousarray(sample.image)[None]
        maps = reference.label(image).ids[0], exported.label(image).ids[0]
        compared = ComparedImage(sample.name, sample.image, *maps)
        if worst is None or compared.agreement < worst.agreement:
            worst = compared
        ours, theirs, truth = map(torch.from_numpy, (*maps, np.array(sample.mask)))
        expected.update(ours, truth)
        given.update(theirs, truth)
        both.update(theirs, ours)
        both_labelled.update(theirs, ours.where(truth != IGNORE_INDEX, IGNORE_INDEX))
    if worst is None or not expected.matrix.any():
        raise DataError(
            f"{data.dataset}: no pixel of split '{split}' has a label, so that there is no mIoU to "
            "compare; take another split"
        )

    absent = dataset.absent_counts
    wanted = AGREEMENT[info.precision] if agreement is None else agreement
    result = Verification(
        file=path,
        info=info,
        engine=exported.name,
        classes=checkpoint.classes,
        images=count,
        resized=resized,
        agreement=scores(both.matrix).pixel_accuracy,
        labelled_agreement=scores(both_labelled.matrix).pixel_accuracy,
        expected=scores(expected.matrix, absent_counts=absent),
        given=scores(given.matrix, absent_counts=absent),
        worst=worst,
        logits=compare_logits(reference, exported, np.ascontiguousarray(worst.image)),
        clues=(),
        tolerance=Tolerance(wanted, max_drop),
    )
    return replace(result, clues=tuple(_clues(result, reference)))


def _fitted(sample: Sample, size: tuple[int, int] | None) -> tuple[Sample, bool]:
    """Return a sample at the only size that a file takes, and True if it was resized for that."""
    if size is None or size == sample.mask.shape:
        return sample, False
    whole = CropWindow(scaled=size, offset=(0, 0), crop=size)
    resized = resize_image(sample.image, whole), resize_mask(sample.mask, whole)
    return Sample(*resized, sample.name), True


def _clues(result: Verification, reference: TorchEngine) -> Iterator[str]:
    """Yield explanations of a difference, as far as they show without a look into the file."""
    if result.info.source != reference.info.source:
        yield (
            f"the file was made of other weights (step {result.info.step}) than the checkpoint's "
            f"(step {reference.info.step})"
        )
    if result.failure is None:
        return
    worst = result.worst
    for mistake, labels in known_mistakes(reference, np.ascontiguousarray(worst.image)):
        share = float((labels == worst.given).mean())
        if share > worst.agreement and share >= result.tolerance.agreement:
            yield f"with {mistake}, {percent(share)} of the worst image's labels would be equal"


def open_reference(checkpoint: Checkpoint) -> TorchEngine:
    """Load a checkpoint as it was trained: in torch on the CPU, in fp32, unfolded.

    GPUs are left out because their convolutions round to ten bits (TF32) unless told otherwise.
    Raises `CheckpointError` if the weights do not fit the architecture, or it does not take RGB.
    """
    options = EngineOptions(device="cpu", precision="fp32")
    return open_network(checkpoint, "torch", options, folded=False)


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
