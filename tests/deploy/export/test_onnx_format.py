"""The graph of ONNX files: which operators it has, and how tidy it is."""

import onnx
import onnx_ir
import pytest
from onnx import TensorProto

from eseg.deploy.export.onnx_format import OPSET, narrow_onnx, onnx_model
from eseg.deploy.export.pixel_network import PixelNetwork
from eseg.errors import ExportError

# What TensorRT's parser supports in 32-bit floats and, for sizes, 64-bit integers: the list of
# version 10.15, github.com/onnx/onnx-tensorrt/blob/main/docs/operators.md, opsets 9 to 24. 8-bit
# tensors may be inputs and outputs of the network; only Cast reads or makes them.
PUBLISHED = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization
Cast CastLike Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum
DeformConv DepthToSpace Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather
GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Hardmax Identity If
InstanceNormalization IsInf IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax
Loop LpNormalization LpPool MatMul Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg
NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow Range Reciprocal ReduceL1 ReduceL2
ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
Relu Reshape Resize ReverseSequence RoiAlign Round Scan ScatterElements ScatterND Selu Shape Shrink
Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum
Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
"""
TENSORRT = frozenset(PUBLISHED.split())

# The presets' backbones in miniature: the same kinds of layers, fewer and narrower.
FAMILIES = {
    "lite": {},
    "efficientnet": {"backbone": "test_efficientnet", "activation": "silu", "min_level": 2},
    "deeplabv3plus": {"decoder": "deeplabv3plus"},
}
ON_SIZES = {"Shape", "Squeeze", "Unsqueeze", "Gather", "Slice", "Reshape", "Concat", "Expand"}


pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture(params=FAMILIES.values(), ids=FAMILIES.keys())
def network(request, small):
    return small(**request.param)


def test_a_graph_for_tensorrt_and_one_for_a_single_size(network):
    model = onnx_model(PixelNetwork(network, outputs="labels"))
    proto = onnx_ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", OPSET)]
    assert 9 <= OPSET <= 24
    check_for_tensorrt(proto)
    for trace in (b"site-packages", b"forward(", b"pkg.torch"):
        assert trace not in proto.SerializeToString(), "nothing of this machine is in the file"
    sides = [d.dim_param or d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim]
    assert sides == [1, "height", "width", 3]

    narrow_onnx(model, (40, 56))
    proto = onnx_ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    kinds = {node.op_type for node in proto.graph.node}
    assert kinds <= TENSORRT
    assert not kinds & (ON_SIZES - {"Concat", "Expand"}), "nothing on sizes is left"
    sides = [d.dim_value for d in proto.graph.output[0].type.tensor_type.shape.dim]
    assert sides == [1, 40, 56]


def test_a_network_without_a_graph_for_every_size_has_one_for_a_single_size(small):
    """The pooling in this backbone's shortcuts rounds up: what it computes depends on the size."""
    network = small(backbone="test_resnet", min_level=2)
    with pytest.raises(ExportError, match="name the one `size`"):
        onnx_model(PixelNetwork(network, outputs="labels"))
    proto = onnx_ir.to_proto(onnx_model(PixelNetwork(network, outputs="labels"), (33, 47)))
    onnx.checker.check_model(proto, full_check=True)
    check_for_tensorrt(proto)


def check_for_tensorrt(proto):
    nodes = proto.graph.node
    kinds = {node.op_type for node in nodes}
    assert kinds <= TENSORRT, f"unknown to TensorRT: {kinds - TENSORRT}"
    assert {node.op_type for node in nodes if "image" in node.input} <= {"Cast", "Shape"}
    bytes_out = [node for node in nodes if node.op_type == "Cast" and made(node) == "uint8"]
    assert [node.output[0] for node in bytes_out] == ["labels"]
    for node in nodes:
        told = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
        if node.op_type == "Resize":
            transform = told["coordinate_transformation_mode"].decode()
            kind = (told["mode"].decode(), transform, told["nearest_mode"].decode())
            assert kind in {("linear", "half_pixel", "floor"), ("nearest", "asymmetric", "floor")}
            assert told.get("antialias", 0) == 0
        if node.op_type == "MaxPool":
            assert set(told.get("dilations", [1])) == {1}
            assert len(node.output) == 1
        if node.op_type == "AveragePool":
            assert told["count_include_pad"] == 0


def made(cast):
    (to,) = (entry.i for entry in cast.attribute if entry.name == "to")
    return TensorProto.DataType.Name(to).lower()
