"""Exported files in ONNX Runtime and OpenVINO, opened, checked and run in one and the same way."""

from __future__ import annotations

import functools
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from eseg.errors import EngineError, ExportFileError
from eseg.runtime.network_info import KEY, ExportInfo

if TYPE_CHECKING:
    import openvino

SUFFIXES = {"onnxruntime": (".onnx",), "openvino": (".xml", ".onnx")}
"""What each engine runs. The first engine that runs a suffix is the one for it by default."""

_OPENVINO_TYPES = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


def open_session(
    path: str | Path,
    *,
    engine: str | None = None,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
) -> Session:
    """Load an exported file into an engine.

    Args:
        path: An `.onnx` file, or an `.xml` with its `.bin` beside it.
        engine: `onnxruntime` or `openvino`; by the file's suffix if None.
        device: `cpu` if None. ONNX Runtime also knows `cuda` and `cuda:1`, OpenVINO what
            `openvino.Core().available_devices` lists.
        precision: Arithmetic: `fp32`, `bf16` or `fp16`. If None, OpenVINO never computes more
            coarsely than the file says: an fp32 file in fp32, an fp16 file in fp16 on devices that
            have it and in fp32 on others. What is not in 8 bits in an int8 file is its own choice.
            ONNX Runtime always computes as the file was exported.
        threads: Threads of a CPU to compute with; the engine's own choice if None.

    Raises:
        EngineError: The engine is unknown, not installed, or cannot do what was asked.
        ExportFileError: The file is missing, damaged, of another origin or of a newer version.
        ValueError: Less than one thread.
    """
    path = Path(path)
    engine = choose_engine(path, engine)
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    if not path.is_file():
        raise ExportFileError(f"{path}: no such file; correct the path, or write it: eseg export")
    if not os.access(path, os.R_OK):
        raise ExportFileError(f"{path}: no permission to read it")
    if engine == "onnxruntime":
        return OnnxSession(path, device or "cpu", precision, threads)
    return OpenVinoSession(path, device or "cpu", precision, threads)


def choose_engine(path: Path, engine: str | None) -> str:
    """The engine asked for, or the one for the file's suffix; see `SUFFIXES`.

    Raises:
        EngineError: The engine is unknown, or does not run such a file.
        ExportFileError: No engine runs such a file.
    """
    suffix = path.suffix.lower()
    if engine is not None and engine not in SUFFIXES:
        raise EngineError(f"no engine {engine!r}; there are {', '.join(SUFFIXES)}")
    fitting = [name for name, suffixes in SUFFIXES.items() if suffix in suffixes]
    if not fitting:
        raise ExportFileError(
            f"{path}: not an exported file (.onnx, or .xml of OpenVINO); a checkpoint is exported "
            "by: eseg export CHECKPOINT"
        )
    if engine is None:
        return fitting[0]
    if engine not in fitting:
        raise EngineError(
            f"{path}: {engine} runs {' and '.join(SUFFIXES[engine])} files, not {suffix}; take "
            f"{' or '.join(fitting)}, or export it again: eseg export CHECKPOINT --format onnx"
        )
    return engine


class OnnxSession:
    """A network in ONNX Runtime, all graph optimisations on; several threads may share it.

    Attributes:
        info: What the file says of itself.
        precision: Its arithmetic: `fp32`, `fp16` or `int8`.
    """

    def __init__(self, path: Path, device: str, precision: str | None, threads: int | None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise _not_installed("onnxruntime", error) from None
        kind, _, index = device.partition(":")
        provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(kind)
        if provider not in onnxruntime.get_available_providers() or not (index or "0").isdecimal():
            raise EngineError(
                f"onnxruntime has no device {device!r} here; it has cpu, and cuda where a GPU and "
                "the package onnxruntime-gpu are"
            )
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3  # errors alone: warnings tell of its optimiser's choices
        providers: list[Any] = [provider]
        if kind == "cuda":  # a few operators of shapes run on the CPU in any case
            providers = [(provider, {"device_id": index or "0"}), "CPUExecutionProvider"]
        try:
            session = onnxruntime.InferenceSession(path, options, providers=providers)
        except Exception as error:  # its errors have no base of their own
            raise _unreadable(path, "onnxruntime", error) from None
        if session.get_providers()[0] != provider:  # it only warns where CUDA cannot be started
            raise EngineError(f"onnxruntime cannot start {device} here; take cpu")

        self.info = ExportInfo.from_json(session.get_modelmeta().custom_metadata_map.get(KEY), path)
        inputs, outputs = session.get_inputs(), session.get_outputs()
        shape = [side if isinstance(side, int) else None for side in inputs[0].shape]
        is_uint8 = inputs[0].type == "tensor(uint8)"
        _check_signature(path, self.info, len(inputs), len(outputs), is_uint8, shape)
        if precision not in (None, self.info.precision):
            raise EngineError(
                f"{path}: onnxruntime computes as the file was exported, in {self.info.precision}, "
                f"not in {precision}; export it again, or take openvino"
            )
        self.precision = self.info.precision
        self._session = session
        self._input = inputs[0].name

    def run(self, image: np.ndarray) -> np.ndarray:
        """The network's one output for uint8 RGB (1, height, width, 3); see `ExportInfo`."""
        (output,) = self._session.run(None, {self._input: image})
        return np.asarray(output)


class OpenVinoSession:
    """A network in OpenVINO, set for the shortest time of one image.

    Several threads may share it; they take turns, for it computes one image at a time.

    Attributes:
        info: What the file says of itself.
        precision: The arithmetic that OpenVINO has settled on, `fp32`, `bf16` or `fp16`, which may
            be another than that of the file; `int8` for files that have most layers in it.
    """

    def __init__(self, path: Path, device: str, precision: str | None, threads: int | None) -> None:
        try:
            import openvino
        except ImportError as error:
            raise _not_installed("openvino", error) from None
        core = openvino_core()
        name, present = device.upper(), core.available_devices
        if name not in present:
            listed = ", ".join(present).lower()
            raise EngineError(f"openvino has no device {device!r} here; it has {listed}")
        if precision is not None and precision not in _OPENVINO_TYPES:
            known = ", ".join(_OPENVINO_TYPES)
            raise EngineError(f"openvino has no precision {precision!r}; it has {known}")
        try:
            model = core.read_model(path)
        except RuntimeError as error:
            raise _unreadable(path, "openvino", error) from None

        self.info = ExportInfo.from_json(_openvino_text(model), path)
        first = model.inputs[0]
        shape = [
            side.get_length() if side.is_static else None for side in first.get_partial_shape()
        ]
        is_uint8 = first.get_element_type() == openvino.Type.u8
        _check_signature(path, self.info, len(model.inputs), len(model.outputs), is_uint8, shape)

        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if precision is None:
            precision = _own_precision(
                self.info, core.get_property(name, "OPTIMIZATION_CAPABILITIES")
            )
        if precision is not None:
            options["INFERENCE_PRECISION_HINT"] = _OPENVINO_TYPES[precision]
        if threads is not None and name == "CPU":
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            # One graph for every size: on CPUs, one for each size was hardly faster.
            compiled = core.compile_model(model, name, options)
        except RuntimeError as error:
            raise _unreadable(path, "openvino", error) from None
        self.precision = _settled_precision(self.info, compiled)
        self._request = compiled.create_infer_request()
        self._turn = threading.Lock()

    def run(self, image: np.ndarray) -> np.ndarray:
        """The network's one output for uint8 RGB (1, height, width, 3); see `ExportInfo`."""
        with self._turn:
            return self._request.infer([image], share_inputs=True)[0]


_core_is_made = threading.Lock()


def openvino_core() -> openvino.Core:
    """The one `openvino.Core` of this process, never given up.

    On Linux, a Core that knows its CPU has given the thread that asked it another stack for signal
    handlers, and gives the former one back when it is deleted. Of several Cores that are not
    deleted in reverse order, one gives back a stack that is no longer there, and the next signal
    (Ctrl-C, a child process that ends) is a segmentation fault.
    """
    with _core_is_made:
        return _make_core()


@functools.cache
def _make_core() -> openvino.Core:
    import openvino

    return openvino.Core()


Session: TypeAlias = OnnxSession | OpenVinoSession
"""An exported network, ready to run in an engine."""


def _own_precision(info: ExportInfo, capabilities: list[str]) -> str | None:
    """Arithmetic no coarser than the file's; None leaves it to OpenVINO.

    Left alone, it takes bf16 on processors that have it, for files in fp16 too: three bits less.
    """
    if info.precision == "fp32" or (info.precision == "fp16" and "FP16" not in capabilities):
        return "fp32"
    return None


def _settled_precision(info: ExportInfo, compiled: openvino.CompiledModel) -> str:
    """What a network is computed in, once the device had its say."""
    if info.precision == "int8":
        return "int8"
    settled = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return {kind: name for name, kind in _OPENVINO_TYPES.items()}.get(settled, info.precision)


def _openvino_text(model: openvino.Model) -> str | None:
    """What the file holds under `KEY`; OpenVINO files metadata of ONNX under `framework`."""
    for place in ([KEY], ["framework", KEY]):
        if model.has_rt_info(place):
            return str(model.get_rt_info(place).value)
    return None


def _check_signature(
    path: Path,
    info: ExportInfo,
    inputs: int,
    outputs: int,
    is_uint8: bool,
    shape: list[int | None],
) -> None:
    """Refuse a network that does not take what its description says."""
    height, width = info.size or (None, None)
    if (inputs, outputs, is_uint8, shape) != (1, 1, True, [1, height, width, 3]):
        raise ExportFileError(
            f"{path}: its network does not take one uint8 image of the size in its description; "
            "export it again"
        )


def _not_installed(package: str, error: ImportError) -> EngineError:
    return EngineError(f"the package {package} cannot be imported ({error}): pip install {package}")


def _unreadable(path: Path, engine: str, error: Exception) -> ExportFileError:
    """An engine's refusal in one line: the last one of its message that is not empty."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return ExportFileError(
        f"{path}: {engine} cannot load it ({lines[-1].strip()}); it may be truncated, damaged or "
        f"written for a newer {engine}: copy or export it again"
    )
