"""OpenVINO files: an .xml with the graph and a .bin with the weights beside it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from eseg.choices import Outputs
from eseg.deploy.export.onnx_format import onnx_model
from eseg.deploy.export.pixel_network import PixelNetwork
from eseg.deploy.export.quiet import extra_missing
from eseg.models import ESeg
from eseg.runtime.network_info import KEY, NetworkInfo
from eseg.runtime.openvino import openvino_core

if TYPE_CHECKING:
    import openvino


def write_openvino(network: ESeg, path: Path, info: NetworkInfo) -> list[Path]:
    """Write a network as OpenVINO's two files; see `openvino_model` for what is raised.

    OpenVINO stores float16 itself, and chooses its arithmetic when it loads a file.
    """
    return save_openvino(openvino_model(network, info.outputs, info.size), path, info)


def openvino_model(
    network: ESeg, outputs: Outputs, size: tuple[int, int] | None = None
) -> openvino.Model:
    """Build an OpenVINO model for images of one (height, width), or of every size if None.

    It is made of an ONNX model: of the graphs that OpenVINO makes, that one has the fewest
    operators. It is fastest if the network normalises the image as a map of pixels.

    Raises:
        ExportError: The packages of OpenVINO or ONNX are not installed, or the network has no such
            graph.
    """
    try:
        from openvino.passes import ConstantFolding, Manager
    except ImportError as error:
        raise extra_missing("openvino", "onnx,openvino", error) from None
    import onnx_ir

    model = onnx_model(PixelNetwork(network, outputs=outputs, normalise="pixels"), size)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        onnx_ir.save(model, path)
        # Not `convert_model`, which reports its use to its makers.
        model = openvino_core().read_model(path)
    passes = Manager()
    passes.register_pass(ConstantFolding())  # the shapes of biases, among others
    passes.run_passes(model)
    return model


def narrow_openvino(model: openvino.Model, size: tuple[int, int]) -> None:
    """Make a model for every size one for images of one (height, width), in place.

    What is computed from the size stays in it until it is loaded: folded here, the weights of an
    8-bit model would become floats again.
    """
    model.reshape([1, *size, 3])


def save_openvino(model: openvino.Model, path: Path, info: NetworkInfo) -> list[Path]:
    """Write a model and its description; in float16 if its precision is fp16."""
    import openvino

    model.set_rt_info(info.to_json(), KEY)
    openvino.save_model(model, path, compress_to_fp16=info.precision == "fp16")
    return [path.with_suffix(".bin"), path]
