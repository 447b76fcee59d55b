"""Pseudo-labels: confident predictions of a teacher, as masks for a student (section 4.4)."""

from __future__ import annotations

import difflib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float32, UInt8

from eseg.checkpoint import Checkpoint, weights_digest
from eseg.choices import Precision
from eseg.data.reading import read_image
from eseg.devices import autocast_dtype, choose_device, dtype_name
from eseg.engines.torch_engine import open_network
from eseg.errors import DataError, LostProcessError
from eseg.inference.image_files import list_images
from eseg.reports.reporter import SILENT, Reporter
from eseg.runtime.class_table import IGNORE_INDEX, ClassTable
from eseg.runtime.engine import EngineOptions
from eseg.runtime.writing import sole_writer
from eseg.self_training.pseudo_folder import PseudoFolder
from eseg.self_training.pseudo_report import PseudoReport, write_pseudo_report

_READ_AHEAD = 2
"""Images to read while the network computes."""
_TIMEOUT = timedelta(days=7)
"""Longest wait of a process for slower ones; one that dies is noticed at once."""

_NONE_READABLE = "{}: no image can be read; the first: {}"

Value = TypeVar("Value")


@dataclass(frozen=True)
class PseudoLabelConfig:
    """Settings of pseudo-labels.

    Attributes:
        scales: Factors of the image's size to run at and average over.
        flip: If True, average with the mirror images too.
        threshold: Pixels whose label has this probability or less get no label; in [0, 1).
        class_thresholds: Thresholds of single classes by name, in place of `threshold`.
        confidence: If True, write the probabilities too.
        precision: `auto` is bf16 on GPUs that support it, fp32 elsewhere.
    """

    scales: tuple[float, ...] = (0.5, 1.0, 2.0)
    flip: bool = True
    threshold: float = 0.5
    class_thresholds: Mapping[str, float] = field(default_factory=dict)
    confidence: bool = False
    precision: Precision = "auto"

    def thresholds(self, classes: ClassTable) -> dict[str, float]:
        """Return the threshold of every class.

        Raises:
            DataError: A threshold is outside [0, 1), or its class does not exist.
        """
        if not 0 <= self.threshold < 1:
            raise DataError(f"`threshold` {self.threshold:g} is outside [0, 1)")
        for name in self.class_thresholds:
            if name not in classes.names:
                close = difflib.get_close_matches(name, classes.names, n=1)
                hint = f"did you mean '{close[0]}'? " if close else ""
                raise DataError(
                    f"threshold of '{name}': the network does not know this class; {hint}it knows "
                    f"{', '.join(classes.names)}"
                )
        thresholds = {
            name: float(self.class_thresholds.get(name, self.threshold)) for name in classes.names
        }
        for name, value in thresholds.items():
            if not 0 <= value < 1:
                raise DataError(f"threshold of '{name}': {value:g} is outside [0, 1)")
        return thresholds


def pseudo_label(
    teacher: Checkpoint,
    images: str | Path,
    output: str | Path,
    config: PseudoLabelConfig | None = None,
    *,
    device: torch.device | str | None = None,
    reporter: Reporter = SILENT,
) -> PseudoReport:
    """Label every image below a folder; called again after an interruption, label the rest.

    If a process group is joined, all its processes call this, and each labels its share. Files
    appear whole or not at all, and are the same with and without interruptions. Images that
    cannot be read are skipped.

    Args:
        teacher: The network that labels.
        images: Folder, searched to any depth.
        output: Folder for `labels/` (palette PNGs named as the images), `dataset.yaml` to train
            on them, `report.json` and `sheet.png`; with confidence also `confidence/` (8-bit PNGs,
            255 times the probability of the label).
        config: Scales and thresholds; by default the paper's.
        device: Device to compute on, or None for the fastest.
        reporter: Receiver of progress, in the first process.

    Returns:
        The report, the same in every process.

    Raises:
        DataError: There are no images, none can be read, two would write the same file, or the
            list of a data set cannot hold a name; a threshold is out of range; or the folder was
            made with other settings or for other images.
        OutputError: The folder cannot be written, or another process is labelling there.
        LostProcessError: Another process was lost.
        ValueError: A scale is not above 0.
    """
    config = config or PseudoLabelConfig()
    device = device if isinstance(device, torch.device) else choose_device(device)
    options = EngineOptions(
        device=str(device), precision=config.precision, scales=config.scales, flip=config.flip
    )
    thresholds = config.thresholds(teacher.classes)
    images, output = Path(images), Path(output)
    names = list_folder(images, output)
    folder = PseudoFolder(output, images, teacher.classes)
    folder.require_listable(names)
    settings = {
        "weights": weights_digest(teacher.weights),
        "classes": teacher.classes.names,
        "images": str(folder.images),
        **asdict(config),
        "precision": dtype_name(autocast_dtype(config.precision, device)),
    }
    peers = _Peers()
    is_main = peers.rank == 0
    reporter = reporter if is_main else SILENT
    with sole_writer(folder.path) if is_main else nullcontext():
        if is_main:
            folder.begin(settings, names)
        peers.gather(None)
        if not folder.is_begun(settings):
            raise DataError(f"{folder.path}: all machines of the run have to see this folder")

        engine = open_network(teacher, "torch", options)
        todo = [n for n in names[peers.rank :: peers.world] if not folder.label(n).is_file()]
        started = time.perf_counter()
        limits = np.array(list(thresholds.values()), np.float32)
        errors = {}
        coming = _read_ahead(folder.images / name for name in todo)
        coming = reporter.track(coming, total=len(todo), description="pseudo-labels")
        for name, image in zip(todo, coming, strict=True):
            if isinstance(image, DataError):
                errors[name.as_posix()] = str(image)
                continue
            predicted, confidence = engine.label(image[None], with_confidence=True)
            assert confidence is not None
            labels = keep_confident(predicted[0], confidence[0], limits)
            folder.write(name, labels, predicted[0], confidence[0] if config.confidence else None)
        results = peers.gather((errors, len(todo) - len(errors), time.perf_counter() - started))

        skipped = {name: error for errors, _, _ in results for name, error in errors.items()}
        labelled = [name for name in names if name.as_posix() not in skipped]
        if not labelled:
            raise DataError(_NONE_READABLE.format(folder.images, next(iter(skipped.values()))))
        report = None
        if is_main:
            count, seconds = sum(r[1] for r in results), max(r[2] for r in results)
            speed = round(count / seconds, 3) if count else None
            folder.write_dataset(labelled)
            skipped = dict(sorted(skipped.items()))
            report = write_pseudo_report(folder, labelled, skipped, thresholds, speed)
        report = peers.gather(report)[0]
    assert report is not None
    return report


def list_folder(images: Path, output: Path) -> list[Path]:
    """List the images below a folder by their paths in it.

    Raises:
        DataError: There is no such folder, or as for `list_images`.
    """
    if images.is_file():
        raise DataError(f"{images} is a file; name the folder that holds the images")
    if not images.is_dir():
        raise DataError(f"{images}: no such folder; name the one that holds the images")
    return [name for _, name in list_images([images], output)]


def require_readable(images: Path, names: Sequence[Path]) -> None:
    """Raise `DataError` with the first one's error if no image below a folder can be read."""
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
    """Replace labels with a probability at or below their threshold by 255 ("no label").

    Args:
        labels: Class ids in [0, classes).
        confidence: Probability of each label, in [0, 1].
        thresholds: One per class.
    """
    return np.where(confidence > thresholds[labels], labels, np.uint8(IGNORE_INDEX))


def _read_ahead(
    paths: Iterable[Path],
) -> Iterator[UInt8[np.ndarray, "height width 3"] | DataError]:
    """Yield images or errors, reading the next images meanwhile."""
    coming: deque[Future[np.ndarray | DataError]] = deque()
    with ThreadPoolExecutor(max_workers=1) as reader:
        for path in paths:
            coming.append(reader.submit(_read, path))
            if len(coming) > _READ_AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def _read(path: Path) -> np.ndarray | DataError:
    try:
        return read_image(path)
    except DataError as error:
        return error


class _Peers:
    """Processes that share the images: those of the joined group, or this one alone."""

    def __init__(self) -> None:
        joined = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if joined else 0
        self.world = dist.get_world_size() if joined else 1
        # The group for training has a timeout of minutes.
        group = dist.new_group(backend="gloo", timeout=_TIMEOUT) if joined else None
        self._group = group if isinstance(group, dist.ProcessGroup) else None

    def gather(self, value: Value) -> list[Value]:
        """Return the values of all processes, once all have called this."""
        if self._group is None:
            return [value]
        values = [value] * self.world
        try:
            dist.all_gather_object(values, value, group=self._group)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise LostProcessError(
                f"another process has ended ({reason}); its own message says why. The same command "
                "goes on where this one stopped"
            ) from error
        return values
