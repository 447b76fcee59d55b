"""Engines and export formats by name, and the way from a file to a loaded engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from eseg.errors import EngineError, ExportFileError
from eseg.runtime.engine import Engine, EngineOptions


@dataclass(frozen=True)
class ExportFormat:
    """A format of files that networks are exported to.

    Attributes:
        suffix: End of the files' names.
        engines: Engines that run such files, the default first.
        companion: Suffix of a second file beside the first, or "".
    """

    suffix: str
    engines: tuple[str, ...]
    companion: str = ""


EXPORT_FORMATS: dict[str, ExportFormat] = {
    "onnx": ExportFormat(".onnx", ("onnxruntime", "openvino")),
    "openvino": ExportFormat(".xml", ("openvino",), companion=".bin"),
    "pt2": ExportFormat(".pt2", ("aotinductor",)),
}
"""Formats by name; what writes each is in `eseg.deploy.export`."""

ENGINES: dict[str, str] = {
    "torch": "eseg.engines.torch_engine",
    "compile": "eseg.engines.torch_engine",
    "onnxruntime": "eseg.runtime.onnxruntime",
    "openvino": "eseg.runtime.openvino",
    "aotinductor": "eseg.engines.aotinductor",
}
"""Engines by name, with the module whose `open_network` loads a file into them.

The module is imported when such a file is opened: a robot needs that engine's package alone. The
engines that stand in no `ExportFormat` run checkpoints.
"""

CHECKPOINT_ENGINES = tuple(
    name for name in ENGINES if not any(name in form.engines for form in EXPORT_FORMATS.values())
)


def open_engine(source: Any, *, engine: str | None = None, **options: Any) -> Engine:
    """Load a network.

    Args:
        source: An exported file: `.onnx`, `.xml` (OpenVINO, its `.bin` beside it) or `.pt2`
            (AOTInductor: machine code, load only files that you trust); or a checkpoint, as a path
            or loaded. A loaded engine is returned as is.
        engine: A key of `ENGINES`; the first that runs the file if None.
        **options: Fields of `EngineOptions`:
            device: For checkpoints `cuda`, `mps` or `cpu`, the best there is if None. For exported
            files the CPU if None; ONNX Runtime also knows `cuda` and `cuda:1`, OpenVINO what
            `openvino.Core().available_devices` lists, and a `.pt2` runs on the device that it was
            compiled for.
            precision: Arithmetic. `auto` is bf16 on GPUs that have it and fp32 elsewhere for
            checkpoints, and never coarser than the file's own for exported files. `fp32`, `bf16`
            and `fp16` are for checkpoints and OpenVINO; other files compute as they were exported.
            threads: Threads of a CPU to compute with, in torch those of the whole process; the
            engine's own choice if None.
            scales: Factors of the images' size to run at and average over (section 4.4).
            flip: If True, average with the mirror images too; like `scales` for checkpoints only.

    Raises:
        EngineError: The engine is unknown, not installed, or cannot do what was asked.
        ExportFileError: The file is missing, damaged, of another origin or of a newer version.
        CheckpointError: The file is not a checkpoint, or its network does not take RGB.
        DeviceError: The device does not exist.
        ValueError: An option is out of its range.
    """
    if isinstance(source, Engine):
        return source
    chosen = EngineOptions(**options)
    name = choose_engine(source, engine)
    if name not in CHECKPOINT_ENGINES:
        source = Path(source)
        if not source.is_file():
            raise ExportFileError(f"{source}: no such file; correct the path, or export it first")
        if not os.access(source, os.R_OK):
            raise ExportFileError(f"{source}: no permission to read it")
        if chosen.averages:
            raise EngineError(
                f"{source}: an exported network runs at one scale and unmirrored; `scales` and "
                "`flip` need the checkpoint"
            )
    try:
        module = import_module(ENGINES[name])
    except ImportError as error:
        raise EngineError(
            f"the engine {name} cannot be imported ({error}); install eseg with all of its "
            "dependencies, or export the network as an .onnx file"
        ) from None
    opener: Callable[[Any, str, EngineOptions], Engine] = module.open_network
    return opener(source, name, chosen)


def choose_engine(source: Any, engine: str | None = None) -> str:
    """Return the requested engine, or the default for a file.

    Args:
        source: A path; anything else stands for a loaded checkpoint.
        engine: A key of `ENGINES`, or None.

    Raises:
        EngineError: The engine is unknown, or does not run such a file.
    """
    if engine is not None and engine not in ENGINES:
        raise EngineError(f"no engine {engine!r}; there are {', '.join(ENGINES)}")
    form = format_of(source) if isinstance(source, str | Path) else None
    fitting = CHECKPOINT_ENGINES if form is None else EXPORT_FORMATS[form].engines
    for name in ENGINES:
        if name == (engine or fitting[0]) and name in fitting:
            return name
    assert engine is not None
    if form is None:
        wanted = next(name for name, f in EXPORT_FORMATS.items() if engine == f.engines[0])
        raise EngineError(
            f"{engine} does not run checkpoints; export it first: eseg export, format {wanted}"
        )
    raise EngineError(
        f"{source}: {engine} does not run {EXPORT_FORMATS[form].suffix} files; take "
        f"{' or '.join(fitting)}, or give "
        f"{'the checkpoint' if engine in CHECKPOINT_ENGINES else 'another file'}"
    )


def format_of(path: str | Path) -> str | None:
    """Return the key in `EXPORT_FORMATS` of an exported file, None for any other file."""
    suffix = Path(path).suffix.lower()
    return next((name for name, form in EXPORT_FORMATS.items() if form.suffix == suffix), None)
