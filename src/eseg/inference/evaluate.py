"""Accuracy of a network on a labelled split, at the labels' own size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from eseg.checkpoint import Checkpoint
from eseg.config import DataConfig, Precision, open_split
from eseg.data.loaders import make_eval_loader
from eseg.data.samples import EvalImage
from eseg.data.transforms import ResizeConfig, to_float
from eseg.devices import autocast_dtype
from eseg.engines.labelling import check_scales, label_images
from eseg.errors import DataError
from eseg.inference.submission import Submission
from eseg.metrics import ConfusionMatrix, Scores, scores
from eseg.models import ESeg
from eseg.runtime.class_table import ClassTable
from eseg.runtime.pictures import palette_image

Visitor = Callable[[EvalImage, Tensor], None]

_SHOWN = 3


@torch.inference_mode()
def evaluate(
    model: ESeg,
    images: Iterable[EvalImage],
    *,
    device: torch.device,
    dtype: torch.dtype | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    resize: ResizeConfig | None = None,
    visit: Visitor | None = None,
) -> ConfusionMatrix:
    """Count the pixels of every pair (true class, predicted class) over a split (section 4.1).

    Args:
        model: The network in evaluation mode, on `device`.
        images: Whole images with their masks; a process's share of the split.
        device: Where to compute.
        dtype: Type for autocast, or None for fp32.
        scales: Sizes to run at, relative to the image; several are averaged.
        flip: Average with the mirror image too.
        resize: What images are brought to before the network; labels are at the masks' size.
        visit: Called with every image and its labels, uint8 (height, width) on the CPU.

    Returns:
        The counts of the images given; with several processes, call `all_reduce` on them.
    """
    matrix = ConfusionMatrix(model.config.num_classes, device=device)
    for item in images:
        image = to_float(item.image.to(device).permute(2, 0, 1).contiguous()).unsqueeze(0)
        labels, _ = label_images(model, image, dtype=dtype, scales=scales, flip=flip, resize=resize)
        matrix.update(labels[0], item.mask.to(device))
        if visit is not None:
            visit(item, labels[0].cpu())
    return matrix


def evaluate_checkpoint(
    checkpoint: Checkpoint,
    data: DataConfig,
    split: str,
    *,
    device: torch.device,
    precision: Precision = "auto",
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    save: Path | None = None,
    submission: Path | None = None,
    track: Callable[..., Iterable[EvalImage]] | None = None,
) -> Scores:
    """Scores of a checkpoint on one split, in one process.

    Images are brought to the size that the checkpoint's run brought them to, if it did.

    Args:
        checkpoint: The network.
        data: The data set; its classes must be the network's.
        split: Which split.
        device: Where to compute.
        precision: `auto` is bf16 on GPUs that have it and fp32 elsewhere, as in training.
        scales: Sizes to run at, relative to the image.
        flip: Average with the mirror image too.
        save: Folder for the predicted labels as palette PNGs, named after the samples.
        submission: Folder for what the test server of an official data set takes; with it the
            split may lack masks.
        track: Wraps the images to show progress, as `rich.progress.Progress.track` does.

    Returns:
        The scores, NaN in a split without masks.

    Raises:
        DataError: The data set is not as described, or has other classes than the network, or no
            test server but a `submission`, or a folder cannot be written.
        ValueError: A scale is not above 0.
    """
    check_scales(scales)
    dataset = open_split(data, split, unlabelled=submission is not None)
    if dataset.classes.names != checkpoint.classes.names:
        raise DataError(
            f"the network knows {_shown(checkpoint.classes, dataset.classes)}; the data set "
            f"{data.dataset} has {_shown(dataset.classes, checkpoint.classes)}: evaluate it on its "
            "own"
        )

    visitors: list[Visitor] = []
    if save is not None:
        visitors.append(_saver(save, dataset.classes))
    if submission is not None:
        files = Submission(submission, data, dataset)
        visitors.append(lambda item, labels: files.write(item.name, labels.numpy()))

    def visit(item: EvalImage, labels: Tensor) -> None:
        for visitor in visitors:
            visitor(item, labels)

    images: Iterable[EvalImage] = make_eval_loader(dataset)
    if track is not None:
        images = track(images, total=len(dataset), description="evaluating")
    matrix = evaluate(
        checkpoint.build_model(device),
        images,
        device=device,
        dtype=autocast_dtype(precision, device),
        scales=scales,
        flip=flip,
        resize=checkpoint.resize,
        visit=visit if visitors else None,  # without: no copies from the device
    )
    return scores(matrix.matrix, absent_counts=dataset.absent_counts)


def _saver(save: Path, classes: ClassTable) -> Visitor:
    """Writes labels as palette PNGs."""

    def write(item: EvalImage, labels: Tensor) -> None:
        path = save / f"{item.name}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            palette_image(labels.numpy(), classes.colours).save(path)
        except OSError as error:
            raise DataError(f"{save}: cannot be written ({error}); choose another --save") from None

    return write


def _shown(classes: ClassTable, others: ClassTable) -> str:
    """The number of classes, and the first of those that tell them from others."""
    pairs = itertools.zip_longest(classes.names, others.names)
    differing = [name for name, other in pairs if name not in (None, other)]
    shown = ", ".join(differing[:_SHOWN]) + (", ..." if len(differing) > _SHOWN else "")
    return f"{len(classes)} classes" + (f" ({shown})" if differing else "")
