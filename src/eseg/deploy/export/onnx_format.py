"""ONNX files: one graph for every size, or narrowed to one size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from eseg import __version__
from eseg.deploy.export.pixel_network import PixelNetwork, trace
from eseg.deploy.export.quiet import extra_missing, quiet
from eseg.models import ESeg
from eseg.runtime.network_info import KEY, NetworkInfo

if TYPE_CHECKING:
    import onnx_ir

OPSET = 18
"""Version of ONNX's operators: the first with `Resize` as torch's exporter writes it. TensorRT
publishes support for 9 to 24."""

INPUT = "image"
"""Name of the input of every exported file."""


def write_onnx(network: ESeg, path: Path, info: NetworkInfo) -> list[Path]:
    """Write a network as an ONNX file; see `onnx_model` for what is raised."""
    pixels = PixelNetwork(network, outputs=info.outputs, half=info.precision == "fp16")
    return save_onnx(onnx_model(pixels, info.size), path, info)


def onnx_model(pixels: PixelNetwork, size: tuple[int, int] | None = None) -> onnx_ir.Model:
    """Build an ONNX model for images of one (height, width), or of every size if None.

    The exporter's own notes, such as paths of source files, are removed. Axes that are not fixed
    are called height, width, rows and columns. Raises `ExportError` if ONNX's packages are not
    installed, or the network has no such graph.
    """
    try:
        import onnx_ir
        import onnxscript  # noqa: F401 - torch imports it, and says less if it is not there
    except ImportError as error:
        raise extra_missing("onnx", "onnx", error) from None

    with quiet("torch.onnx", "onnxscript", "onnx_ir"):
        program = torch.onnx.export(
            trace(pixels, size),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[pixels.outputs],
            verbose=False,
        )
    assert program is not None  # it is for exporters of other kinds that None is declared
    model = program.model
    _forget_origin(model)
    _forget_shapes(model)
    if size is not None:
        narrow_onnx(model, size)
        return model
    model.graph.inputs[0].shape = onnx_ir.Shape([1, "height", "width", 3])
    classes = pixels.network.config.num_classes
    sides = [classes, "rows", "columns"] if pixels.outputs == "logits" else ["height", "width"]
    model.graph.outputs[0].shape = onnx_ir.Shape([1, *sides])
    return model


def narrow_onnx(model: onnx_ir.Model, size: tuple[int, int]) -> None:
    """Make a model for every size one for images of one (height, width), in place.

    All that is computed from the size becomes a constant: no operator on shapes is left.
    """
    import onnx_ir
    from onnxscript import optimizer

    _forget_shapes(model)
    model.graph.inputs[0].shape = onnx_ir.Shape([1, *size, 3])
    optimizer.optimize(model)


def save_onnx(model: onnx_ir.Model, path: Path, info: NetworkInfo) -> list[Path]:
    """Write a model with its weights and its description into one file."""
    import onnx_ir

    model.metadata_props[KEY] = info.to_json()
    onnx_ir.save(model, path)
    return [path]


def _forget_origin(model: onnx_ir.Model) -> None:
    """Remove what the exporter notes for its own developers."""
    model.producer_name, model.producer_version = "eseg", __version__
    graph = model.graph
    for noted in (model, graph, *graph, *graph.inputs, *graph.initializers.values()):
        noted.metadata_props.clear()
        noted.doc_string = None
    for node in graph:
        for value in node.outputs:
            value.metadata_props.clear()


def _forget_shapes(model: onnx_ir.Model) -> None:
    """Remove every shape but the input's; readers of the model infer them again."""
    for node in model.graph:
        for value in node.outputs:
            value.shape = None
