"""What is to be timed: words of the command line as networks on engines."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from eseg.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from eseg.choices import Format
from eseg.deploy.benchmark.timed_network import Subject
from eseg.deploy.export.export import SUFFIXES, export_checkpoint
from eseg.devices import choose_device, choose_precision
from eseg.errors import BenchmarkError
from eseg.inference.predictor import ENGINES, choose_engine
from eseg.models import PRESETS, create_model
from eseg.runtime.class_table import ClassTable

_FORMATS: dict[str, Format] = {
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "aotinductor": "pt2",
}
"""What a checkpoint is exported as to run on each engine."""

_PACKAGES = {"onnxruntime": ("onnxruntime",), "openvino": ("openvino",)}

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


def find_subjects(
    sources: Sequence[str],
    folder: Path,
    *,
    engines: Sequence[str] = (),
    device: str | None = None,
    precision: str = "auto",
    threads: int = 1,
    say: Callable[[str], object] = lambda _: None,
) -> list[Subject]:
    """Every source on every engine, in this order; checkpoints are exported for their engines.

    Args:
        sources: Checkpoints, exported files and presets; presets get random weights.
        folder: Where files that have to be made are left.
        engines: Those to run on; if empty, all that are installed, run such a file and have the
            precision. Checkpoints are compiled by `compile` and `aotinductor` only on GPUs or where
            that is asked for.
        device: Where to compute; the fastest there is by default.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        threads: Threads of a CPU to compute with.
        say: Is told what takes a while.

    Raises:
        BenchmarkError: A source is neither a file nor a preset, or none of the engines runs it.
        CheckpointError, DeviceError, EngineError, ExportError: As elsewhere.
    """
    place = choose_device(device)
    choose_precision(precision)
    subjects = []
    names = _short_names(sources)
    for number, source in enumerate(dict.fromkeys(sources)):
        file, is_trained = Path(source), True
        if not file.is_file():
            file, is_trained = _random_checkpoint(source, folder / f"{source}.pt"), False
        for engine in engines_for(file, engines, place, precision):
            path = file
            if ENGINES[engine] and file.suffix.lower() not in ENGINES[engine]:
                form = _FORMATS[engine]
                path = (folder / f"{number}_{file.stem}_{engine}").with_suffix(SUFFIXES[form])
                say(f"exporting {names[source]} for {engine}")
                _export(file, path, form, place, precision)
            subjects.append(
                Subject(
                    f"{names[source]} {engine}",
                    path,
                    engine,
                    str(place),
                    precision,
                    threads,
                    is_trained,
                )
            )
    return subjects


def engines_for(
    file: Path, engines: Sequence[str], device: torch.device, precision: str = "auto"
) -> list[str]:
    """Those of the engines that run a file or can be given an export of it.

    Args:
        file: A checkpoint or an exported file.
        engines: Those to choose from; if empty, all that are usual on the device, installed and
            able to compute in the precision.
        device: Where to compute.
        precision: `auto`, `fp32`, `bf16` or `fp16`.

    Raises:
        BenchmarkError: There are none.
        EngineError: An engine is unknown.
    """
    for engine in engines:
        if engine not in ENGINES:
            choose_engine(file, engine)  # says which there are
    suffix = file.suffix.lower()
    is_export = any(suffix in suffixes for suffixes in ENGINES.values())
    able = [name for name, suffixes in ENGINES.items() if not is_export or suffix in suffixes]
    if engines:
        chosen = [engine for engine in engines if engine in able]
        if not chosen:
            raise BenchmarkError(
                f"{file}: {' and '.join(engines)} cannot run {suffix} files; take "
                f"{' or '.join(able)}, or give the checkpoint"
            )
        return chosen
    usual = _USUAL_ENGINES[device.type]
    if not is_export:  # a package takes minutes to compile
        usual = tuple(engine for engine in usual if engine != "aotinductor")
    if precision == "bf16":
        usual = tuple(engine for engine in usual if engine not in _EXPORTED_PRECISION)
    chosen = [
        engine for engine in able if engine in usual and _is_there(engine, device, not is_export)
    ]
    # If there are none, the first for such files says what it lacks when it is started.
    return chosen or able[:1]


def random_checkpoint(preset: str) -> Checkpoint:
    """A preset with random weights, as a checkpoint in the classes of Cityscapes' number."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model = create_model(preset)
    classes = range(model.config.num_classes)
    names = tuple(f"class {index}" for index in classes)
    colours = tuple((index, index, index) for index in classes)
    return Checkpoint(model.config, ClassTable(names, colours), model.state_dict(), step=0)


def _random_checkpoint(source: str, path: Path) -> Path:
    if source not in PRESETS:
        raise BenchmarkError(
            f"{source}: neither a file nor a preset; correct the path, or take one of "
            f"{', '.join(PRESETS)}"
        )
    save_checkpoint(random_checkpoint(source), path)
    return path


def _export(file: Path, path: Path, form: Format, device: torch.device, precision: str) -> None:
    # OpenVINO is told its precision when it loads a file; the others have it in the file.
    is_half = precision == "fp16" and form != "openvino"
    export_checkpoint(
        load_checkpoint(file),
        path,
        format=form,
        precision="fp16" if is_half else "fp32",
        device=device if form == "pt2" else "cpu",
    )


def _is_there(engine: str, device: torch.device, exporting: bool) -> bool:
    """Whether an engine is installed, knows the device, and a file for it can be made."""
    needed = _PACKAGES.get(engine, ())
    if exporting and needed:
        needed = (*needed, "onnx", "onnxscript")
    if any(importlib.util.find_spec(package) is None for package in needed):
        return False
    if engine == "onnxruntime" and device.type == "cuda":
        import onnxruntime

        return "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    return True


def _short_names(sources: Sequence[str]) -> dict[str, str]:
    """File names where they differ, and what was given where they do not."""
    last = [Path(source).name for source in dict.fromkeys(sources)]
    return {
        source: source if last.count(Path(source).name) > 1 else Path(source).name
        for source in sources
    }
