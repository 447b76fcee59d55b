"""Verification of an exported file: its labels beside its checkpoint's, on real images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from eseg.checkpoint import Checkpoint, load_checkpoint
from eseg.choices import FilePrecision
from eseg.config import DataConfig
from eseg.data.dataset import evenly_spaced
from eseg.data.transforms import CropWindow, resize_image, resize_mask
from eseg.deploy.export.quantise import MAX_DROP
from eseg.deploy.verify.reference import compare_logits, known_mistakes, open_reference
from eseg.deploy.verify.verification import ComparedImage, Tolerance, Verification, percent
from eseg.engines.torch_engine import TorchEngine
from eseg.errors import DataError, ExportFileError
from eseg.inference.evaluate import open_own_split
from eseg.metrics import ConfusionMatrix, scores
from eseg.reports.reporter import SILENT, Reporter
from eseg.runtime.class_table import IGNORE_INDEX, Sample, require_same_classes
from eseg.runtime.engine_table import format_of, open_engine

AGREEMENT: dict[FilePrecision, float] = {"fp32": 0.999, "fp16": 0.995, "int8": 0.985}
"""Share of all labels that must be equal by default, by the arithmetic of the file."""


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
        tolerance=Tolerance(
            AGREEMENT[info.precision] if agreement is None else agreement, max_drop
        ),
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
