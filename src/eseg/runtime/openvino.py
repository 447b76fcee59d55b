"""OpenVINO as an engine."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eseg.errors import EngineError
from eseg.runtime.engine import (
    Engine,
    EngineOptions,
    check_signature,
    not_installed,
    unreadable,
)
from eseg.runtime.network_info import KEY, NetworkInfo

if TYPE_CHECKING:
    import openvino

_TYPES = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
"""OpenVINO's names of the precisions."""


class OpenVinoEngine(Engine):
    """A network in OpenVINO, set for the shortest time of one image.

    Several threads may share it; they take turns, for it computes one image at a time. Its
    `precision` is the one that OpenVINO has settled on, `int8` for files that have most layers in
    it.
    """

    name = "openvino"

    def __init__(self, path: Path, options: EngineOptions) -> None:
        """Load a file; see `open_engine` for what is raised."""
        try:
            import openvino
        except ImportError as error:
            raise not_installed("openvino", error) from None
        core = openvino_core()
        device = options.device or "cpu"
        name, present = device.upper(), core.available_devices
        if name not in present:
            listed = ", ".join(present).lower()
            raise EngineError(f"openvino has no device {device!r} here; it has {listed}")
        if options.precision not in ("auto", *_TYPES):
            known = ", ".join(_TYPES)
            raise EngineError(f"openvino has no precision {options.precision!r}; it has {known}")
        try:
            model = core.read_model(path)
        except RuntimeError as error:
            raise unreadable(path, "openvino", error) from None

        self.source = str(path)
        self.info = NetworkInfo.from_json(_description(model), path)
        first = model.inputs[0]
        shape = [
            side.get_length() if side.is_static else None for side in first.get_partial_shape()
        ]
        is_uint8 = first.get_element_type() == openvino.Type.u8
        check_signature(path, self.info, len(model.inputs), len(model.outputs), is_uint8, shape)

        hints: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        precision: str | None = options.precision
        if precision == "auto":
            precision = _own_precision(
                self.info, core.get_property(name, "OPTIMIZATION_CAPABILITIES")
            )
        if precision is not None:
            hints["INFERENCE_PRECISION_HINT"] = _TYPES[precision]
        if options.threads is not None and name == "CPU":
            hints["INFERENCE_NUM_THREADS"] = options.threads
        try:
            # One graph for every size: on CPUs, one for each size was hardly faster.
            compiled = core.compile_model(model, name, hints)
        except RuntimeError as error:
            raise unreadable(path, "openvino", error) from None
        self.precision = _settled_precision(self.info, compiled)
        self._request = compiled.create_infer_request()
        self._turn = threading.Lock()

    def network(self, x: np.ndarray) -> np.ndarray:
        """Run the network on uint8 RGB (1, height, width, 3)."""
        with self._turn:
            return self._request.infer([x], share_inputs=True)[0]


def open_network(path: Path, _: str, options: EngineOptions) -> OpenVinoEngine:
    """Load an `.xml` or `.onnx` file."""
    return OpenVinoEngine(path, options)


_core_is_made = threading.Lock()


def openvino_core() -> openvino.Core:
    """Return the one `openvino.Core` of this process, which is never given up.

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


def _own_precision(info: NetworkInfo, capabilities: list[str]) -> str | None:
    """Return an arithmetic not coarser than the file's; None leaves it to OpenVINO.

    Left alone, it takes bf16 on processors that have it, for files in fp16 too: three bits less.
    """
    if info.precision == "fp32" or (info.precision == "fp16" and "FP16" not in capabilities):
        return "fp32"
    return None


def _settled_precision(info: NetworkInfo, compiled: openvino.CompiledModel) -> str:
    """Return the arithmetic that the device has chosen."""
    if info.precision == "int8":
        return "int8"
    settled = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return {kind: name for name, kind in _TYPES.items()}.get(settled, info.precision)


def _description(model: openvino.Model) -> str | None:
    """Return the text under `KEY`; OpenVINO files metadata of ONNX under `framework`."""
    for place in ([KEY], ["framework", KEY]):
        if model.has_rt_info(place):
            return str(model.get_rt_info(place).value)
    return None
