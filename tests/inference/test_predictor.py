"""Any picture in, labels at its own size out, whichever engine runs the network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from eseg.engines.labelling import label_images
from eseg.inference.predictor import Predictor, choose_engine
from PIL import Image

from eseg import runtime
from eseg.checkpoint import load_checkpoint
from eseg.data.transforms import ResizeConfig
from eseg.deploy.export.export import export
from eseg.errors import CheckpointError, DeviceError
from eseg.runtime import EngineError, ImageError, Segmentation


@pytest.fixture(scope="module")
def exports(best, tmp_path_factory):
    """The toy network as an ONNX file and as one of OpenVINO."""
    folder = tmp_path_factory.mktemp("exports")
    return {
        path.suffix: path
        for path in (
            export(best, folder / "toy.onnx", format="onnx"),
            export(best, folder / "toy.xml", format="openvino"),
        )
    }


def test_path_picture_and_array_are_one(predict, sample, tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(sample.image).save(path)
    with Image.open(path) as picture:
        results = [predict(image) for image in (path, str(path), picture, sample.image)]
    for result in results:
        np.testing.assert_array_equal(result.image, sample.image)
        np.testing.assert_array_equal(result.labels, results[0].labels)
        np.testing.assert_array_equal(result.confidence, results[0].confidence)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (33, 47), (130, 70)])
def test_any_size(predict, size, noise):
    result = predict(noise(*size))
    assert result.labels.shape == result.confidence.shape == size
    assert (result.labels.dtype, result.confidence.dtype) == (np.uint8, np.float32)
    assert result.labels.max() < 3
    assert (result.confidence > 0).all()
    assert (result.confidence <= 1).all()
    assert sum(result.share().values()) == pytest.approx(1)


@torch.no_grad()
def test_confidence_is_the_probability_of_the_label(predict, toy_model, sample):
    result = predict(sample.image)
    x = torch.from_numpy(sample.image.copy()).permute(2, 0, 1)[None] / 255
    logits = F.interpolate(toy_model.logits(x), sample.mask.shape, mode="bilinear")
    expected = logits.softmax(1)[0].gather(0, torch.from_numpy(result.labels)[None].long())[0]
    np.testing.assert_allclose(result.confidence, expected.numpy(), atol=1e-3)
    assert (result.confidence > 1 / 3 - 1e-6).all()


@pytest.mark.parametrize(("scales", "flip"), [((1.0,), False), ((0.5, 1.0), True)])
def test_labels_are_those_that_evaluation_counts(best, toy_model, sample, scales, flip):
    predict = Predictor(best, device="cpu", scales=scales, flip=flip)
    x = torch.from_numpy(sample.image.copy()).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        counted = label_images(toy_model, x, scales=scales, flip=flip)[0][0].numpy()
    result = predict(sample.image)
    assert (result.labels == counted).mean() > 0.999  # folding changes the order of rounding
    assert len(np.unique(counted)) > 1
    assert (result.labels == sample.mask)[sample.mask != 255].mean() > 0.8


def test_a_checkpoint_remembers_the_size_that_it_was_trained_at(best, toy_model, sample):
    loaded = load_checkpoint(best)
    assert loaded.resize is None
    data = loaded.run["data"] | {"resize": {"shorter_side": 24, "longer_side": None}}
    resizing = replace(loaded, run=loaded.run | {"data": data})
    assert resizing.resize == ResizeConfig(shorter_side=24)
    x = torch.from_numpy(sample.image.copy()).permute(2, 0, 1)[None] / 255
    for options in ({}, {"scales": (0.5, 1.0), "flip": True}):
        result = Predictor(resizing, device="cpu", with_confidence=True, **options)(sample.image)
        with torch.inference_mode():
            counted, confidence = label_images(
                toy_model, x, resize=ResizeConfig(24), with_confidence=True, **options
            )
        assert result.labels.shape == sample.mask.shape
        assert (result.labels == counted[0].numpy()).mean() > 0.999
        np.testing.assert_allclose(result.confidence, confidence[0].numpy(), atol=1e-3)
        plain = Predictor(loaded, device="cpu", **options)(sample.image)
        assert not np.array_equal(result.labels, plain.labels)

    damaged = replace(loaded, run=loaded.run | {"data": data | {"resize": {"side": 3}}})
    with pytest.raises(CheckpointError, match=r"data\.resize is damaged"):
        Predictor(damaged, device="cpu")


def test_a_loaded_checkpoint_serves_too(best, predict, sample):
    again = Predictor(load_checkpoint(best), device="cpu")
    np.testing.assert_array_equal(again(sample.image).labels, predict(sample.image).labels)


def test_the_callers_array_is_neither_needed_nor_kept(predict, sample):
    image = sample.image.copy()
    image.flags.writeable = False
    result = predict(image)
    assert not np.shares_memory(result.image, image)
    upside_down = predict(image[::-1])  # a view with a negative stride
    np.testing.assert_array_equal(upside_down.image, image[::-1])


def test_files_that_cannot_be_used(predict, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    for name in ("text.png", "gone.png"):
        with pytest.raises(ImageError, match=name):
            predict(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"gone\.pt"):
        Predictor(tmp_path / "gone.pt")
    with pytest.raises(CheckpointError, match=r"text\.png"):
        Predictor(tmp_path / "text.png")


def test_a_missing_device_is_named(best):
    with pytest.raises(DeviceError, match="abacus"):
        Predictor(best, device="abacus")


def test_confidence_is_given_on_request_only(best, predict, sample):
    result = Predictor(best, device="cpu")(sample.image)
    assert result.confidence is None
    np.testing.assert_array_equal(result.labels, predict(sample.image).labels)


def test_images_of_one_size_go_through_the_network_together(best, monkeypatch, noise):
    predict = Predictor(best, device="cpu", with_confidence=True)
    images = [noise(33, 47), noise(40, 30), noise(33, 47)[::-1], noise(20, 20)]
    seen, network = [], predict._network

    def spy(batch):
        seen.append(batch.shape[:3])
        return network(batch)

    monkeypatch.setattr(predict, "_network", spy)
    results = predict(images)
    assert seen == [(2, 33, 47), (1, 40, 30), (1, 20, 20)]
    for image, result in zip(images, results, strict=True):
        alone = predict(image)
        np.testing.assert_array_equal(result.image, image)
        assert (result.labels == alone.labels).mean() > 0.99  # sums in another order
        np.testing.assert_allclose(result.confidence, alone.confidence, atol=1e-4)
    assert predict([]) == []


def test_a_batch_is_an_array_too(predict, noise):
    batch = np.stack([noise(20, 30), noise(20, 30)[::-1]])
    results = predict(batch)
    assert len(results) == 2
    np.testing.assert_array_equal(results[1].image, batch[1])


@pytest.mark.parametrize(
    ("suffix", "engine", "expected"),
    [
        (".onnx", None, "onnxruntime"),
        (".onnx", "openvino", "openvino"),
        (".xml", None, "openvino"),
    ],
)
def test_exports_give_the_labels_of_their_checkpoint(
    exports, predict, sample, suffix, engine, expected, noise
):
    exported = Predictor(exports[suffix], engine=engine, with_confidence=True)
    assert exported.engine == expected
    assert exported.info is not None
    assert predict.info is None
    assert (exported.names, exported.palette) == (predict.names, predict.palette)
    images = [sample.image, noise(61, 45), noise(33, 120), noise(1, 1)]
    for image, result in zip(images, exported(images), strict=True):
        assert type(result) is Segmentation
        wanted = predict(image)
        assert (result.labels == wanted.labels).mean() >= 0.999
        np.testing.assert_allclose(result.confidence, wanted.confidence, atol=1e-4)
    assert len(np.unique(exported(sample.image).labels)) > 1
    alone = runtime.Predictor(exports[suffix], engine=engine)(sample.image)
    np.testing.assert_array_equal(alone.labels, exported(sample.image).labels)


def test_exports_refuse_what_only_checkpoints_can(exports):
    for option in ({"scales": (0.5, 1.0)}, {"flip": True}):
        with pytest.raises(EngineError, match=r"toy\.onnx: .*scales and flip need the checkpoint"):
            Predictor(exports[".onnx"], **option)
    with pytest.raises(EngineError, match=r"exported, in fp32, not in bf16"):
        Predictor(exports[".onnx"], precision="bf16")


@pytest.mark.parametrize(
    ("name", "engine", "words"),
    [
        ("best.pt", "onnxruntime", r"export it first: eseg export best\.pt --format onnx"),
        ("best.pt", "openvino", r"export it first: eseg export best\.pt --format openvino"),
        ("best.pt", "aotinductor", r"export it first: eseg export best\.pt --format pt2"),
        ("best.onnx", "torch", r"best\.onnx: torch does not run \.onnx files.* the checkpoint"),
        ("best.xml", "compile", r"best\.xml: compile does not run.*take openvino"),
        ("best.xml", "onnxruntime", r"take openvino, or give another file"),
        ("best.pt2", "openvino", r"best\.pt2: openvino does not run \.pt2.*take aotinductor"),
        ("best.pt", "abacus", r"no engine 'abacus'; there are torch, compile, onnxruntime"),
    ],
)
def test_engines_that_do_not_fit_the_file(name, engine, words):
    with pytest.raises(EngineError, match=words):
        Predictor(name, engine=engine)


def test_a_loaded_checkpoint_is_not_for_the_engines_of_exports(best):
    loaded = load_checkpoint(best)
    assert choose_engine(loaded, None) == "torch"
    with pytest.raises(EngineError, match=r"eseg export CHECKPOINT --format onnx"):
        Predictor(loaded, engine="onnxruntime")
