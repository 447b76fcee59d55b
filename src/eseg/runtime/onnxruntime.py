"""ONNX Runtime as an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeEngine(Engine):
    """A network in ONNX Runtime, all graph optimisations on; several threads may share it."""

    name = "onnxruntime"

    def __init__(self, path: Path, options: EngineOptions) -> None:
        """Load a file; see `open_engine` for what is raised."""
        try:
            import onnxruntime
        except ImportError as error:
            raise not_installed("onnxruntime", error) from None
        device = options.device or "cpu"
        kind, _, index = device.partition(":")
        provider = _PROVIDERS.get(kind)
        if provider not in onnxruntime.get_available_providers() or not (index or "0").isdecimal():
            raise EngineError(
                f"onnxruntime has no device {device!r} here; it has cpu, and cuda where a GPU and "
                "the package onnxruntime-gpu are"
            )
        settings = onnxruntime.SessionOptions()
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        settings.intra_op_num_threads = options.threads or 0
        settings.log_severity_level = 3  # errors alone: warnings tell of its optimiser's choices
        providers: list[Any] = [provider]
        if kind == "cuda":  # a few operators of shapes run on the CPU in any case
            providers = [(provider, {"device_id": index or "0"}), "CPUExecutionProvider"]
        try:
            session = onnxruntime.InferenceSession(path, settings, providers=providers)
        except Exception as error:  # its errors have no base of their own
            raise unreadable(path, "onnxruntime", error) from None
        if session.get_providers()[0] != provider:  # it only warns where CUDA cannot be started
            raise EngineError(f"onnxruntime cannot start {device} here; take cpu")

        self.source = str(path)
        self.info = NetworkInfo.from_json(
            session.get_modelmeta().custom_metadata_map.get(KEY), path
        )
        inputs = session.get_inputs()
        shape = [side if isinstance(side, int) else None for side in inputs[0].shape]
        is_uint8 = inputs[0].type == "tensor(uint8)"
        check_signature(path, self.info, len(inputs), len(session.get_outputs()), is_uint8, shape)
        if options.precision not in ("auto", self.info.precision):
            raise EngineError(
                f"{path}: onnxruntime computes as the file was exported, in {self.info.precision}, "
                f"not in {options.precision}; export it again, or take openvino"
            )
        self.precision = self.info.precision
        self._session = session
        self._input = inputs[0].name

    def network(self, x: np.ndarray) -> np.ndarray:
        """Run the network on uint8 RGB (1, height, width, 3)."""
        (output,) = self._session.run(None, {self._input: x})
        return np.asarray(output)


def open_network(path: Path, _: str, options: EngineOptions) -> OnnxRuntimeEngine:
    """Load an `.onnx` file."""
    return OnnxRuntimeEngine(path, options)
