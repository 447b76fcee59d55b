"""Accuracy of a network on a labelled split, at the labels' own size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from eseg.checkpoint import Checkpoint
from eseg.config import DataConfig, Precision, open_split
from eseg.data.dataset import DataError
from eseg.data.loaders import EvalImage, make_eval_loader
from eseg.data.transforms import to_float
from eseg.devices import autocast_dtype
from eseg.inference.labelling import check_scales, label_images
from eseg.metrics import ConfusionMatrix, Scores, scores
from eseg.models import ESeg
from eseg.runtime.pictures import palette_image

Visitor = Callable[[EvalImage, Tensor], None]


@torch.inference_mode()
def evaluate(
    model: ESeg,
    images: Iterable[EvalImage],
    *,
    device: torch.device,
    dtype: torch.dtype | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
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
        visit: Called with every image and its labels, uint8 (height, width) on the CPU.

    Returns:
        The counts of the images given; with several processes, call `all_reduce` on them.
    """
    matrix = ConfusionMatrix(model.config.num_classes, device=device)
    for item in images:
        image = to_float(item.image.to(device)).unsqueeze(0)
        labels, _ = label_images(model, image, dtype=dtype, scales=scales, flip=flip)
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
    track: Callable[..., Iterable[EvalImage]] | None = None,
) -> Scores:
    """Scores of a checkpoint on one split, in one process.

    Args:
        checkpoint: The network.
        data: The data set; its classes must be the network's.
        split: Which split.
        device: Where to compute.
        precision: `auto` is bf16 on GPUs that have it and fp32 elsewhere, as in training.
        scales: Sizes to run at, relative to the image.
        flip: Average with the mirror image too.
        save: Folder for the predicted labels as palette PNGs, named after the samples.
        track: Wraps the images to show progress, as `rich.progress.Progress.track` does.

    Raises:
        DataError: The data set is not as described, or has other classes than the network, or
            `save` cannot be written.
        ValueError: A scale is not above 0.
    """
    check_scales(scales)
    dataset = open_split(data, split)
    if dataset.classes.names != checkpoint.classes.names:
        raise DataError(
            f"the network knows the classes {', '.join(checkpoint.classes.names)}; the data set "
            f"{data.dataset} has {', '.join(dataset.classes.names)}: evaluate it on its own"
        )

    def write(item: EvalImage, labels: Tensor) -> None:
        assert save is not None
        path = save / f"{item.name}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            palette_image(labels.numpy(), dataset.classes.colours).save(path)
        except OSError as error:
            raise DataError(f"{save}: cannot be written ({error}); choose another --save") from None

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
        visit=None if save is None else write,
    )
    return scores(matrix.matrix)
