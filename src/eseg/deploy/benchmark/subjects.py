"""Subjects of a benchmark, networks on engines, and the images that they are timed on."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from eseg.checkpoint import Checkpoint, save_checkpoint
from eseg.deploy.benchmark.timed_network import Subject
from eseg.deploy.export.export import export
from eseg.devices import autocast_dtype, choose_device
from eseg.errors import BenchmarkError
from eseg.models import PRESETS, create_model
from eseg.models.graph import MAX_SIDE
from eseg.reports.reporter import SILENT, Reporter
from eseg.runtime.class_table import ClassTable
from eseg.runtime.engine_table import (
    CHECKPOINT_ENGINES,
    ENGINES,
    EXPORT_FORMATS,
    choose_engine,
    format_of,
)
from eseg.runtime.images import as_pixels, read_image
from eseg.streets import render_scene

_USUAL_ENGINES = {
    "cpu": ("torch", "onnxruntime", "openvino", "aotinductor"),
    "cuda": ("torch", "compile", "onnxruntime", "aotinductor"),
    "mps": ("torch",),
}
"""Engines that are tried by default on each kind of device.

Compilation takes minutes on CPUs, and gains less than the other engines do there.
"""

_EXPORTED_PRECISION = ("onnxruntime", "aotinductor")
"""Engines that compute as a file was exported; no export is in bf16."""

_JPEG_QUALITY = 90

_SCENE = (0, 1, 0)
"""Seed, split and index of the scene: always the same one."""


def find_subjects(
    sources: Sequence[str],
    folder: Path,
    *,
    engines: Sequence[str] = (),
    device: str | None = None,
    precision: str = "auto",
    threads: int = 1,
    reporter: Reporter = SILENT,
) -> list[Subject]:
    """List every source on every engine, in this order; checkpoints are exported for their engines.

    Args:
        sources: Checkpoints, exported files and presets; presets get random weights.
        folder: Where files that have to be made are left.
        engines: Those to run on; if empty, all that are installed, run such a file and have the
            precision. Checkpoints are compiled by `compile` and `aotinductor` only on GPUs or where
            that is asked for.
        device: Where to compute; the fastest there is by default.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        threads: Threads of a CPU to compute with.
        reporter: Is told what takes a while.

    Raises:
        BenchmarkError: A source is neither a file nor a preset, or none of the engines runs it.
        CheckpointError, DeviceError, EngineError, ExportError: As elsewhere.
    """
    place = choose_device(device)
    autocast_dtype(precision, place)  # refuses unknown ones
    subjects = []
    paths = {source: Path(source) for source in sources}
    file_names = [path.name for path in paths.values()]
    for number, (source, file) in enumerate(paths.items()):
        name = file.name if file_names.count(file.name) == 1 else source
        is_trained = file.is_file()
        if not is_trained:
            if source not in PRESETS:
                raise BenchmarkError(
                    f"{source}: neither a file nor a preset; correct the path, or take one of "
                    f"{', '.join(PRESETS)}"
                )
            file = folder / f"{source}.pt"
            save_checkpoint(random_checkpoint(source), file)
        for engine in engines_for(file, engines, place, precision):
            path = file
            if engine not in CHECKPOINT_ENGINES and format_of(file) is None:
                form = next(name for name, f in EXPORT_FORMATS.items() if f.engines[0] == engine)
                suffix = EXPORT_FORMATS[form].suffix
                path = (folder / f"{number}_{file.stem}_{engine}").with_suffix(suffix)
                reporter.status(f"exporting {name} for {engine}")
                _export(file, path, form, place, precision)
            subject = f"{name} {engine}"
            subjects.append(
                Subject(subject, path, engine, str(place), precision, threads, is_trained)
            )
    return subjects


def engines_for(
    file: Path, engines: Sequence[str], device: torch.device, precision: str = "auto"
) -> list[str]:
    """List the engines that run an exported file, or a checkpoint or an export of it.

    They are chosen from `engines`; if that is empty, from all that are usual on the device,
    installed and able to compute in the precision.

    Raises:
        BenchmarkError: There are none.
        EngineError: An engine is unknown.
    """
    for engine in engines:
        if engine not in ENGINES:
            choose_engine(file, engine)  # says which there are
    form = format_of(file)
    able = [*(ENGINES if form is None else EXPORT_FORMATS[form].engines)]
    if engines:
        chosen = [engine for engine in engines if engine in able]
        if not chosen:
            raise BenchmarkError(
                f"{file}: {' and '.join(engines)} cannot run {file.suffix} files; take "
                f"{' or '.join(able)}, or give the checkpoint"
            )
        return chosen
    usual = set(_USUAL_ENGINES[device.type])
    if form is None:
        usual.discard("aotinductor")  # a package takes minutes to compile
    if precision == "bf16":
        usual.difference_update(_EXPORTED_PRECISION)
    chosen = [name for name in able if name in usual and _is_there(name, device, form is None)]
    # If there are none, the first for such files says what it lacks when it is started.
    return chosen or able[:1]


def random_checkpoint(preset: str) -> Checkpoint:
    """Make a checkpoint of a preset with random weights, in as many classes as Cityscapes has."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model = create_model(preset)
    ids = range(model.config.num_classes)
    classes = ClassTable(tuple(f"class {i}" for i in ids), tuple((i, i, i) for i in ids))
    return Checkpoint(model.config, classes, model.state_dict(), step=0)


def _export(file: Path, path: Path, form: str, device: torch.device, precision: str) -> None:
    # OpenVINO is told its precision when it loads a file; the others have it in the file.
    stored = "fp16" if precision == "fp16" and form != "openvino" else "fp32"
    export(file, path, format=form, precision=stored, device=device if form == "pt2" else "cpu")


def _is_there(engine: str, device: torch.device, exporting: bool) -> bool:
    """Return True if an engine is installed, knows the device, and can be given a file."""
    if engine in ("onnxruntime", "openvino"):
        needed = (engine, *(("onnx", "onnxscript") if exporting else ()))
        if any(importlib.util.find_spec(package) is None for package in needed):
            return False
    if engine == "onnxruntime" and device.type == "cuda":
        import onnxruntime

        return "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    return True


@dataclass(frozen=True)
class TimedPicture:
    """An image, uint8 RGB (height, width, 3), its origin, and a picture file of the same size."""

    source: str
    pixels: np.ndarray
    encoded: bytes
    encoding: str

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def decode(self) -> np.ndarray:
        """Decode the encoded file."""
        return as_pixels(Image.open(io.BytesIO(self.encoded)))


def check_pictures(files: Iterable[Path], size: tuple[int, int] | None) -> None:
    """Raise early what `load_picture` and `draw_picture` would raise later."""
    _check_size(size)
    for file in files:
        read_image(file)


def load_picture(file: Path, size: tuple[int, int] | None = None) -> TimedPicture:
    """Load an image file, and resize it if another (height, width) is wanted.

    Then it is also encoded anew, as a JPEG: decoding takes a time that depends on the size.

    Raises:
        ImageError: The file is missing, damaged or not a picture.
        BenchmarkError: The size is out of range.
    """
    _check_size(size)
    pixels = read_image(file)
    height, width = pixels.shape[:2]
    if size is None or size == (height, width):
        encoded = file.read_bytes()
        with Image.open(io.BytesIO(encoded)) as picture:
            return TimedPicture(file.name, pixels, encoded, picture.format or "unknown")
    resized = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return _as_jpeg(f"{file.name}, resized from {height}x{width}", np.asarray(resized))


def draw_picture(size: tuple[int, int]) -> TimedPicture:
    """Draw a street scene of a (height, width); raise `BenchmarkError` if that is out of range."""
    _check_size(size)
    pixels, _ = render_scene(_SCENE, size)
    return _as_jpeg("procedural street scene", pixels)


def _as_jpeg(source: str, pixels: np.ndarray) -> TimedPicture:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_JPEG_QUALITY)
    return TimedPicture(source, pixels, file.getvalue(), "JPEG")


def _check_size(size: tuple[int, int] | None) -> None:
    if size is not None and not all(1 <= side <= MAX_SIDE for side in size):
        raise BenchmarkError(f"`size` {size[0]}x{size[1]}: sides are from 1 to {MAX_SIDE} pixels")
