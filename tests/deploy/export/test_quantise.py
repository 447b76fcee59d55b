"""8-bit files that are as good as their checkpoint, and those that are refused."""

import builtins
import dataclasses
import os
import shutil
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import yaml

from eseg.checkpoint import Checkpoint
from eseg.config import DataConfig, open_split
from eseg.deploy.export import int8_graphs, quantise
from eseg.deploy.export.int8_graphs import CalibrationImages
from eseg.deploy.export.quantise import export_int8
from eseg.errors import DataError, ExportError
from eseg.runtime.engine import Engine
from eseg.runtime.engine_table import open_engine

pytestmark = pytest.mark.usefixtures("unchecked")


AS_THEY_ARE = SimpleNamespace(preprocess=lambda images: images)
"""Of an engine, all that calibration asks for."""


@pytest.fixture
def data(toy_dataset):
    return DataConfig(dataset=toy_dataset)


@pytest.mark.parametrize(("form", "suffix"), [("onnx", ".onnx"), ("openvino", ".xml")])
def test_an_8_bit_file_is_as_good_and_says_so(checkpoint, data, tmp_path, form, suffix):
    path = tmp_path / f"net{suffix}"
    size, outputs = ((48, 72), "labels") if form == "onnx" else (None, "logits")
    result = export_int8(
        checkpoint, path, format=form, data=data, size=size, outputs=outputs, max_drop=3
    )
    assert result.path == path.resolve()
    assert (result.calibrated_on, result.measured_on) == (8, 5)
    assert result.miou_fp32 == pytest.approx(checkpoint.scores["miou"], abs=1e-3)
    assert result.drop == pytest.approx(100 * (result.miou_fp32 - result.miou))
    assert 0 < abs(result.drop) <= 3, "the two networks differ, a little"
    written = {file.name for file in tmp_path.iterdir()}
    assert written == ({"net.onnx"} if form == "onnx" else {"net.xml", "net.bin"})

    loaded = open_engine(path)
    info = loaded.info
    assert (info.precision, info.size, info.outputs) == ("int8", size, outputs)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 48, 72, 3), dtype=np.uint8)
    output = loaded.network(loaded.preprocess(pixels))
    assert output.dtype == (np.uint8 if outputs == "labels" else np.float32)
    if form == "onnx":
        check_convolutions(path)


def check_convolutions(path):
    """They compute in 8 bits, but for those of few channels and the classifier."""
    graph = onnx.load(path).graph
    makers = {name: node for node in graph.node for name in node.output}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    kept = [node for node in convolutions if node.input[1] in weights]
    quantised = [node for node in convolutions if node not in kept]
    assert quantised
    assert {makers[node.input[0]].op_type for node in quantised} == {"DequantizeLinear"}
    assert convolutions[0] in kept
    assert convolutions[-1] in kept
    assert all(min(weights[node.input[1]].dims[:2]) < 16 for node in kept[:-1])


def test_a_network_that_becomes_worse_is_refused(checkpoint, data, tmp_path, monkeypatch):
    def spoil(model, images):
        """What too small a range does to the scores: all classes but the first are lost."""
        weight = model.graph.initializers["network.head.1.bias"]
        spoilt = weight.const_value.numpy().copy()
        spoilt[0] += 100
        import onnx_ir

        weight.const_value = onnx_ir.tensor(spoilt)
        return model

    tools = quantise.INT8_FORMATS["onnx"]._replace(quantise=spoil)
    monkeypatch.setitem(quantise.INT8_FORMATS, "onnx", tools)
    path = tmp_path / "net.onnx"
    path.write_text("an older file")
    with pytest.raises(ExportError, match=r"loses \d\d\.\d\d points.*'val'.*`max_drop` 0\.3"):
        export_int8(checkpoint, path, format="onnx", data=data)
    assert path.read_text() == "an older file"
    assert list(tmp_path.iterdir()) == [path]


def test_images_of_both_splits_are_refused(checkpoint, toy_dataset, tmp_path, monkeypatch):
    described = yaml.safe_load(toy_dataset.read_text())
    described["root"] = str(toy_dataset.parent)
    described["splits"]["val"]["images"].append("train/1.png")
    described["splits"]["val"]["masks"] = "{folder}/{stem}_mask.png"
    described["splits"]["val"]["images"] = ["**/8.png", "**/1.png"]
    overlapping = tmp_path / "overlapping.yaml"
    overlapping.write_text(yaml.safe_dump(described))
    monkeypatch.setattr(Checkpoint, "build_model", None)
    for data in (
        DataConfig(dataset=overlapping),
        DataConfig(dataset=toy_dataset, val_split="train"),
        DataConfig(train_split="val"),
    ):
        classes = open_split(data, "val").classes
        same = dataclasses.replace(checkpoint, classes=classes)
        with pytest.raises(DataError, match="share images"):
            export_int8(same, tmp_path / "net.onnx", format="onnx", data=data)


def test_other_classes_are_refused(checkpoint, toy_dataset, tmp_path):
    with pytest.raises(DataError, match=r"the network: .*'road' instead of 'ground'"):
        export_int8(checkpoint, tmp_path / "net.onnx", format="onnx", data=DataConfig())


def test_an_image_that_cannot_be_read_is_named(checkpoint, toy_dataset, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(toy_dataset.parent, copy)
    (copy / "train" / "3.png").write_bytes(b"no image")
    data = DataConfig(dataset=copy / toy_dataset.name)
    with pytest.raises(DataError, match=r"3\.png"):
        list(CalibrationImages(open_split(data, "train"), 100, AS_THEY_ARE))


def test_the_environment_is_as_it_was_after_nncf_was_imported(monkeypatch):
    monkeypatch.setenv("CI", "before")
    monkeypatch.delenv("NNCF_CI", raising=False)
    real, seen = builtins.__import__, []

    def without(wanted, *args, **kwargs):
        if wanted == "nncf":
            seen.append((os.environ["CI"], os.environ["NNCF_CI"]))
            raise ImportError("No module named 'nncf'")
        return real(wanted, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ExportError, match="No module named 'nncf'"):
        int8_graphs.quantise_openvino(None, None)
    assert seen == [("true", "1")]
    assert os.environ["CI"] == "before"
    assert "NNCF_CI" not in os.environ


def test_calibration_images_are_spread_over_the_split():
    class Numbers:
        def __len__(self):
            return 10

        def __getitem__(self, index):
            image = np.full((2, 3, 3), index, np.uint8)
            return dataclasses.make_dataclass("Sample", ["image"])(image)

    seen = [int(image[0, 0, 0, 0]) for image in CalibrationImages(Numbers(), 4, AS_THEY_ARE)]
    assert seen == [0, 2, 5, 7]
    images = CalibrationImages(Numbers(), 100, AS_THEY_ARE)
    assert len(images) == 10
    assert [len(list(images)) for _ in range(2)] == [10, 10], "they can be gone through again"
    assert next(iter(images)).shape == (1, 2, 3, 3)


def test_calibration_images_have_the_size_that_the_network_gets(data, resizing):
    class Resizing(Engine):
        info = resizing.describe()

        def network(self, x):
            raise AssertionError("the network is not run")

    images = [*CalibrationImages(open_split(data, "val"), 3, Resizing())]
    assert [min(image.shape[1:3]) for image in images] == [32] * 3
    assert {image.dtype for image in images} == {np.dtype(np.uint8)}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"images": 0}, "`images`: at least 1"),
        ({"format": "pt2"}, "no 8-bit `format` 'pt2'; there are onnx, openvino"),
        ({"size": (0, 4)}, "`size` 0x4"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_work(data, tmp_path, options, words):
    options = {"format": "onnx", "data": data} | options
    with pytest.raises(ExportError, match=words):
        export_int8(tmp_path / "gone.pt", tmp_path / "net.onnx", **options)
