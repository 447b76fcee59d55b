"""Exported files of a network that anybody can compute by hand: the mean colour of every cell."""

import dataclasses

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper

from eseg.runtime.network_info import KEY, NetworkInfo
from eseg.runtime.openvino import openvino_core

STRIDE = 8


@pytest.fixture(scope="session")
def info():
    """The description of a network whose three classes are red, green and blue."""
    return NetworkInfo(
        names=("red", "green", "blue"),
        palette=((200, 0, 0), (0, 200, 0), (0, 0, 200)),
        outputs="logits",
        size=None,
        stride=STRIDE,
        precision="fp32",
        model={},
        step=1,
        source="0" * 64,
        eseg="0.1.0",
    )


@pytest.fixture
def export(tmp_path, info):
    """Writes such a network; its description's fields, or all its text, can be changed."""

    def write(name="mean.onnx", *, text="", channels=3, dtype="uint8", graph_size=None, **changes):
        told = dataclasses.replace(info, **changes)
        model = mean_colours(told.outputs, graph_size or told.size, channels, dtype)
        text = told.to_json() if text == "" else text
        path = tmp_path / name
        if path.suffix == ".onnx":
            if text is not None:
                helper.set_model_props(model, {KEY: text, "other": "x"})
            onnx.save(model, path)
            return path
        plain = tmp_path / "plain.onnx"
        onnx.save(model, plain)
        converted = openvino_core().read_model(plain)
        if text is not None:
            converted.set_rt_info(text, KEY)
        openvino.save_model(converted, path, compress_to_fp16=False)
        return path

    return write


def mean_colours(outputs, size, channels, dtype):
    """Pixels to the mean of every channel in each cell, or to the brightest channel's number."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    size = size or ("height", "width")
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
    ]
    if outputs == "logits":
        cell = {"kernel_shape": [STRIDE, STRIDE], "strides": [STRIDE, STRIDE], "ceil_mode": 1}
        nodes.append(helper.make_node("AveragePool", ["planes"], ["logits"], **cell))
        shape = [1, channels, "rows", "columns"]
        output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)
    else:
        nodes.append(helper.make_node("ArgMax", ["planes"], ["ids"], axis=1, keepdims=0))
        nodes.append(helper.make_node("Cast", ["ids"], ["labels"], to=TensorProto.UINT8))
        output = helper.make_tensor_value_info("labels", TensorProto.UINT8, [1, *size])
    image = helper.make_tensor_value_info("image", kind, [1, *size, channels])
    graph = helper.make_graph(nodes, "mean_colours", [image], [output])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
