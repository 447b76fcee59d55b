"""8-bit quantisation of graphs: by ONNX Runtime and by NNCF, calibrated on images."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from eseg.data.dataset import SegmentationDataset, evenly_spaced
from eseg.deploy.export.onnx_format import INPUT
from eseg.deploy.export.quiet import extra_missing, quiet
from eseg.reports.reporter import SILENT, Reporter
from eseg.runtime.engine import Engine

if TYPE_CHECKING:
    import onnx_ir
    import openvino

_FEW_CHANNELS = 16
"""With fewer, ONNX Runtime's dense convolutions in 8 bits take longer than those in floats."""


class CalibrationImages:
    """Images spread evenly over a split, at most `limit`, as `engine` gives them to its network.

    They are read anew each time they are gone through.
    """

    def __init__(
        self, dataset: SegmentationDataset, limit: int, engine: Engine, reporter: Reporter = SILENT
    ) -> None:
        self.dataset, self.engine, self.reporter = dataset, engine, reporter
        self.indices = evenly_spaced(len(dataset), min(limit, len(dataset)))

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield uint8 RGB (1, height, width, 3); raise `DataError` if one cannot be read."""
        for index in self.reporter.track(self.indices, description="calibrating"):
            yield self.engine.preprocess(np.ascontiguousarray(self.dataset[index].image)[None])


def quantise_onnx(model: onnx_ir.Model, images: CalibrationImages) -> onnx_ir.Model:
    """Copy a model for images of every size so that its network computes in 8 bits.

    QDQ operators surround the convolutions; the ranges of their maps are those on `images`. In
    floats remain the normalisation of the image, convolutions of few channels and everything from
    the classifier on, the last convolution: 256 steps for the scores would tie classes. Raises
    `DataError` if an image cannot be read, and `ExportError` without ONNX Runtime.
    """
    import onnx_ir

    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise extra_missing("onnx", "onnx", error) from None

    class Reader(quantization.CalibrationDataReader):
        """Calibration images in the form that ONNX Runtime asks for."""

        def __init__(self) -> None:
            self.images = iter(images)

        def get_next(self) -> Any:
            image = next(self.images, None)
            return None if image is None else {INPUT: image}

    with TemporaryDirectory() as folder, quiet(""):
        path = Path(folder) / "int8.onnx"
        quantization.quantize_static(
            onnx_ir.to_proto(model),
            path,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=_kept_in_floats(model),
        )
        return onnx_ir.load(path)


def _kept_in_floats(model: onnx_ir.Model) -> list[str]:
    """Return the names of the operators that are not to be quantised."""
    nodes = list(model.graph)
    convolutions = [place for place, node in enumerate(nodes) if node.op_type == "Conv"]
    kept = nodes[: convolutions[0]] + nodes[convolutions[-1] :]
    kept += [nodes[place] for place in convolutions if _has_few_channels(nodes[place])]
    return [node.name or "" for node in kept]


def _has_few_channels(convolution: onnx_ir.Node) -> bool:
    weight = convolution.inputs[1]
    assert weight is not None
    assert weight.const_value is not None
    outputs, inputs = weight.const_value.shape.numpy()[:2]
    is_dense = convolution.attributes.get_int("group", 1) == 1
    return is_dense and min(outputs, inputs) < _FEW_CHANNELS


def quantise_openvino(model: openvino.Model, images: CalibrationImages) -> openvino.Model:
    """Copy a model for images of every size so that its convolutions compute in 8 bits.

    Raises `DataError` if an image cannot be read, and `ExportError` without NNCF.
    """
    try:
        # It would report its use to its makers.
        settings = patch.dict(os.environ, NNCF_CI="1", CI="true")
        with settings, quiet("torch.utils.cpp_extension"):
            import nncf
    except ImportError as error:
        raise extra_missing("openvino", "onnx,openvino", error) from None
    nncf.set_log_level(logging.ERROR)
    with redirect_stdout(io.StringIO()):  # it draws bars of its own over ours
        return nncf.quantize(
            model,
            nncf.Dataset(images),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
        )
