"""Pseudo-labels: what a teacher is sure of, as masks to train its student on (section 4.4)."""

from __future__ import annotations

import difflib
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from rich.console import Console
from rich.progress import track

from eseg.checkpoint import Checkpoint, weights_digest
from eseg.data.reading import read_image
from eseg.devices import autocast_dtype
from eseg.engines.torch_engine import open_network
from eseg.errors import DataError
from eseg.inference.image_files import list_images
from eseg.runtime.class_table import IGNORE_INDEX, ClassTable
from eseg.runtime.engine import Engine, EngineOptions
from eseg.runtime.network_info import Precision
from eseg.runtime.writing import sole_writer
from eseg.self_training.peers import Peers
from eseg.self_training.pseudo_folder import PseudoFolder
from eseg.self_training.pseudo_report import PseudoReport, write_report

_READ_AHEAD = 2
"""Images that are read while the network computes."""
_NONE_READABLE = "{}: no image can be read; the first: {}"


@dataclass(frozen=True)
class PseudoLabelConfig:
    """How a teacher labels images, and what is kept of it.

    Attributes:
        scales: Factors of the image's size to run at and average over.
        flip: Whether the mirror images are averaged in too.
        threshold: Pixels whose label has this probability or less get none; in [0, 1).
        class_thresholds: The same for single classes, by name, in place of `threshold`.
        confidence: Whether the probabilities are written too.
        precision: `auto` is bf16 on GPUs that have it and fp32 elsewhere.
    """

    scales: tuple[float, ...] = (0.5, 1.0, 2.0)
    flip: bool = True
    threshold: float = 0.5
    class_thresholds: Mapping[str, float] = field(default_factory=dict)
    confidence: bool = False
    precision: Precision = "auto"

    def engine_options(self, device: torch.device) -> EngineOptions:
        """Return what the teacher is loaded with; raise `ValueError` if a scale is not above 0."""
        return EngineOptions(str(device), self.precision, None, self.scales, self.flip)

    def thresholds(self, classes: ClassTable) -> dict[str, float]:
        """The threshold of every class.

        Raises:
            DataError: A threshold lies outside [0, 1), or is that of a class that there is not.
        """
        if not 0 <= self.threshold < 1:
            raise DataError(f"the threshold lies in [0, 1), not {self.threshold:g}")
        for name in self.class_thresholds:
            if name not in classes.names:
                close = difflib.get_close_matches(name, classes.names, n=1)
                hint = f"did you mean '{close[0]}'? " if close else ""
                raise DataError(
                    f"the threshold of '{name}': the network knows no such class; {hint}it knows "
                    f"{', '.join(classes.names)}"
                )
        thresholds = {
            name: float(self.class_thresholds.get(name, self.threshold)) for name in classes.names
        }
        for name, value in thresholds.items():
            if not 0 <= value < 1:
                raise DataError(f"the threshold of '{name}': lies in [0, 1), not {value:g}")
        return thresholds


def pseudo_label(
    teacher: Checkpoint,
    images: Path,
    output: Path,
    config: PseudoLabelConfig | None = None,
    *,
    device: torch.device,
    console: Console | None = None,
) -> PseudoReport:
    """Label every image below a folder; broken off and called again, go on where it was.

    Where a process group is joined, all its processes call this, and each labels its share. Files
    appear whole or not at all, and are the same however often the work was broken off. An image
    that cannot be read is skipped.

    Args:
        teacher: The network that labels.
        images: A folder, searched to any depth.
        output: Folder for `labels/` (palette PNGs named as the images), `dataset.yaml` to train
            on them, `report.json` and `sheet.png`; with confidence also `confidence/` (8-bit PNGs,
            255 times the probability of the label).
        config: Scales and thresholds; by default the paper's.
        device: Where to compute.
        console: Where to show progress; by default standard output.

    Returns:
        What became of the images, the same in every process.

    Raises:
        DataError: There are no images, none can be read, two would write the same file, or a name
            cannot stand in a list; a threshold cannot be meant; the folder was made with other
            settings or for other images, or the disk is full.
        OutputError: The folder cannot be written, or another process is labelling there.
        LostProcessError: Another process was lost.
        ValueError: A scale is not above 0.
    """
    config = config or PseudoLabelConfig()
    config.engine_options(device)
    config.thresholds(teacher.classes)
    names = list_folder(images, output)
    folder = PseudoFolder(output, images, teacher.classes)
    folder.require_listable(names)
    dtype = autocast_dtype(config.precision, device)
    settings = {
        "weights": weights_digest(teacher.weights),
        "classes": teacher.classes.names,
        "images": str(folder.images),
        "scales": config.scales,
        "flip": config.flip,
        "threshold": config.threshold,
        "class_thresholds": dict(config.class_thresholds),
        "confidence": config.confidence,
        "precision": "fp32" if dtype is None else str(dtype).removeprefix("torch."),
    }
    peers = Peers()
    with sole_writer(folder.path) if peers.rank == 0 else nullcontext():
        return _label_all(teacher, folder, names, config, settings, peers, device, console)


def _label_all(
    teacher: Checkpoint,
    folder: PseudoFolder,
    names: Sequence[Path],
    config: PseudoLabelConfig,
    settings: Mapping[str, Any],
    peers: Peers,
    device: torch.device,
    console: Console | None,
) -> PseudoReport:
    """Label what is not labelled yet, in a folder that nobody else writes, and report on all."""
    if peers.rank == 0:
        folder.begin(settings, names)
    peers.gather(None)
    if not folder.is_begun(settings):
        raise DataError(f"{folder.path}: has to lie where all machines of the run see it")

    engine = open_network(teacher, "torch", config.engine_options(device))
    todo = [n for n in names[peers.rank :: peers.world] if not folder.label(n).is_file()]
    started = time.perf_counter()
    thresholds = config.thresholds(teacher.classes)
    errors = _label(todo, engine, folder, thresholds, config.confidence, console or Console())
    results = peers.gather((errors, len(todo) - len(errors), time.perf_counter() - started))

    skipped = {name: error for errors, _, _ in results for name, error in errors.items()}
    labelled = [name for name in names if name.as_posix() not in skipped]
    if not labelled:
        raise DataError(_NONE_READABLE.format(folder.images, next(iter(skipped.values()))))
    report = None
    if peers.rank == 0:
        count, seconds = sum(r[1] for r in results), max(r[2] for r in results)
        speed = round(count / seconds, 3) if count else None
        folder.write_dataset(labelled)
        report = write_report(folder, labelled, dict(sorted(skipped.items())), thresholds, speed)
    report = peers.gather(report)[0]
    assert report is not None
    return report


def list_folder(images: Path, output: Path) -> list[Path]:
    """The path of every image below a folder, as it stands in the names of its pseudo-labels.

    Raises:
        DataError: There is no such folder, or as for `list_images`.
    """
    if images.is_file():
        raise DataError(f"{images} is a file; name the folder that holds the images")
    if not images.is_dir():
        raise DataError(f"{images}: no such folder; name the one that holds the images")
    return [name for _, name in list_images([images], output)]


def require_readable(images: Path, names: Sequence[Path]) -> None:
    """Refuse images of which none can be read, before a teacher is trained to label them.

    Args:
        images: Their folder.
        names: Their paths below it, at least one.

    Raises:
        DataError: None can be read; the first one's error is in the message.
    """
    errors = []
    for name in names:
        image = _read(images / name)
        if not isinstance(image, DataError):
            return
        errors.append(image)
    raise DataError(_NONE_READABLE.format(images, errors[0]))


def keep_confident(
    labels: UInt8[np.ndarray, "height width"],
    confidence: Float32[np.ndarray, "height width"],
    thresholds: Float32[np.ndarray, " classes"],
) -> UInt8[np.ndarray, "height width"]:
    """Labels with 255 ("no label") where their probability is at or below their threshold.

    Args:
        labels: Class ids in [0, classes).
        confidence: Probability of each label.
        thresholds: One per class.
    """
    return np.where(confidence > thresholds[labels], labels, np.uint8(IGNORE_INDEX))


def _label(
    names: Sequence[Path],
    engine: Engine,
    folder: PseudoFolder,
    thresholds: Mapping[str, float],
    with_confidence: bool,
    console: Console,
) -> dict[str, str]:
    """Label images and write the files; what is wrong with those that cannot be read."""
    limits = np.array(list(thresholds.values()), np.float32)
    errors = {}
    steps = track(
        _read_ahead(names, folder.images),
        "pseudo-labels",
        total=len(names),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    for name, image in steps:
        if isinstance(image, DataError):
            errors[name.as_posix()] = str(image)
            continue
        predicted, confidence = engine.label(image[None], with_confidence=True)
        assert confidence is not None
        labels = keep_confident(predicted[0], confidence[0], limits)
        folder.write(name, labels, predicted[0], confidence[0] if with_confidence else None)
    return errors


def _read_ahead(
    names: Sequence[Path], folder: Path
) -> Iterator[tuple[Path, UInt8[np.ndarray, "height width 3"] | DataError]]:
    """Images by name, or what is wrong with them; the next ones are read meanwhile."""
    coming: deque[tuple[Path, Future[np.ndarray | DataError]]] = deque()
    with ThreadPoolExecutor(max_workers=1) as reader:
        for name in names:
            coming.append((name, reader.submit(_read, folder / name)))
            if len(coming) > _READ_AHEAD:
                first, image = coming.popleft()
                yield first, image.result()
        for name, image in coming:
            yield name, image.result()


def _read(path: Path) -> np.ndarray | DataError:
    try:
        return read_image(path)
    except DataError as error:
        return error
