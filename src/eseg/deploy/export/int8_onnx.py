"""8-bit quantisation for ONNX Runtime: QDQ operators around the convolutions."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from eseg.deploy.export.calibration import CalibrationImages
from eseg.deploy.export.onnx_format import INPUT
from eseg.deploy.export.quiet import extra_missing, quiet

if TYPE_CHECKING:
    import onnx_ir


_FEW_CHANNELS = 16
"""With fewer, ONNX Runtime's dense convolutions in 8 bits take longer than those in floats."""


def quantise_onnx(model: onnx_ir.Model, images: CalibrationImages) -> onnx_ir.Model:
    """Copy a model so that its network computes in 8 bits.

    In floats remain the normalisation of the image, convolutions of few channels and everything
    from the classifier on, the last convolution: 256 steps for the scores would tie classes.

    Args:
        model: A model for images of every size.
        images: The ranges of the maps are taken from them.

    Raises:
        DataError: An image cannot be read.
        ExportError: ONNX Runtime is not installed.
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
