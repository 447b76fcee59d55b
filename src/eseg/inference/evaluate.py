"""Accuracy of a network on a labelled split, at the labels' own size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from eseg.checkpoint import Checkpoint, load_checkpoint
from eseg.config import DataConfig, open_split
from eseg.data.dataset import SegmentationDataset
from eseg.data.loaders import LoaderConfig, make_eval_loader
from eseg.data.samples import EvalImage
from eseg.engines.torch_engine import open_network
from eseg.inference.submission import Submission
from eseg.metrics import ConfusionMatrix, Scores, scores
from eseg.reports.reporter import SILENT, Reporter
from eseg.runtime.class_table import ClassTable, require_same_classes
from eseg.runtime.engine import Engine, EngineOptions
from eseg.runtime.engine_table import format_of, open_engine
from eseg.runtime.pictures import palette_image
from eseg.runtime.writing import output_errors

Visitor = Callable[[EvalImage, np.ndarray], None]
"""Receives an image and its labels, uint8 (height, width)."""


def evaluate(
    network: str | Path | Checkpoint | Engine,
    data: str | Path | DataConfig,
    split: str = "val",
    *,
    root: Path | None = None,
    engine: str | None = None,
    device: str | None = None,
    precision: str = "auto",
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    save: Path | None = None,
    submission: Path | None = None,
    reporter: Reporter = SILENT,
) -> Scores:
    """Measure a network on one split, in one process.

    A checkpoint runs as it was trained, unfolded: the figures are those of the training's own
    evaluation.

    Args:
        network: A checkpoint or an exported file, as a path or loaded.
        data: A data set: its YAML, a built-in name or its config; its classes must be the
            network's.
        split: Name of the split.
        root: Where the data lies, instead of what the YAML says.
        engine: Engine that runs the network; see `eseg.runtime.open_engine`.
        device: See there, as for the next three.
        precision: Arithmetic.
        scales: Factors of the image size to run at and average over.
        flip: If True, average with the mirror image too.
        save: Folder for the predicted labels as palette PNGs, named after the samples.
        submission: Folder for what the test server of an official data set takes; with it the
            split may lack masks.
        reporter: Shows progress.

    Returns:
        The scores, NaN in a split without masks.

    Raises:
        DataError: The data set is not as described, or has other classes than the network, or no
            test server but a `submission`.
        OutputError: A folder cannot be written.
        CheckpointError, ExportFileError, EngineError, DeviceError: The network cannot be run.
        ValueError: A scale is not above 0.
    """
    options = {"device": device, "precision": precision, "scales": tuple(scales), "flip": flip}
    chosen = EngineOptions(**options)
    in_torch = engine in (None, "torch")
    if in_torch and isinstance(network, str | Path) and format_of(network) is None:
        network = load_checkpoint(network)
    of_run = isinstance(network, Checkpoint)
    if not isinstance(data, DataConfig):
        data = network.data_config(Path(data), root) if of_run else DataConfig(Path(data), root)
    if of_run and in_torch:
        loaded: Engine = open_network(network, "torch", chosen, folded=False)
    else:
        loaded = open_engine(network, engine=engine, **options)

    dataset = open_own_split(loaded.info.names, data, split, unlabelled=submission is not None)
    visitors: list[Visitor] = []
    if save is not None:
        visitors.append(partial(_save_labels, save, dataset.classes))
    if submission is not None:
        files = Submission(submission, data, dataset)
        visitors.append(lambda item, labels: files.write(item.name, labels))
    return score(loaded, dataset, visitors=visitors, reporter=reporter)


def score(
    engine: Engine,
    dataset: SegmentationDataset,
    *,
    visitors: Sequence[Visitor] = (),
    loader: LoaderConfig | None = None,
    reporter: Reporter = SILENT,
    description: str = "evaluating",
) -> Scores:
    """Score an engine on all images of a split of the same classes, in this process.

    `visitors` receive every image with its labels, and `description` names the progress. Raises
    `DataError` if an image or a mask cannot be read.
    """
    images = reporter.track(
        make_eval_loader(dataset, config=loader), total=len(dataset), description=description
    )
    matrix = count_pixels(engine, images, visitors=visitors)
    return scores(matrix.matrix, absent_counts=dataset.absent_counts)


def count_pixels(
    engine: Engine, images: Iterable[EvalImage], *, visitors: Sequence[Visitor] = ()
) -> ConfusionMatrix:
    """Count the pixels of every pair (true class, predicted class) over images (section 4.1).

    `images` are whole images with their masks, and `visitors` receive each with its labels. Where
    several processes count their shares of a split, `all_reduce` of the result adds them up.
    """
    matrix = ConfusionMatrix(len(engine.info.names))
    for item in images:
        labels = engine.label(item.image.numpy()[None]).ids[0]
        matrix.update(torch.from_numpy(labels), item.mask)
        for visit in visitors:
            visit(item, labels)
    return matrix


def open_own_split(
    classes: ClassTable | Sequence[str], data: DataConfig, split: str, *, unlabelled: bool = False
) -> SegmentationDataset:
    """Open a split as `open_split`; raise `DataError` if its classes are not the network's."""
    dataset = open_split(data, split, unlabelled=unlabelled)
    owner, remedy = f"the data set {data.dataset}", "take the network's own data set"
    require_same_classes(classes, dataset.classes, "the network", owner, remedy)
    return dataset


def _save_labels(save: Path, classes: ClassTable, item: EvalImage, labels: np.ndarray) -> None:
    path = save / f"{item.name}.png"
    with output_errors(save, "save"):
        path.parent.mkdir(parents=True, exist_ok=True)
        palette_image(labels, classes.colours).save(path)
