"""Packages compiled ahead of time, and archives that are none."""

import dataclasses
import zipfile

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from eseg.checkpoint import load_checkpoint
from eseg.errors import DeviceError, EngineError, ExportFileError, ImageError
from eseg.runtime.predictor import Predictor


class LoadedPackage:
    """What torch gives for a .pt2, without the minutes that compiling one takes."""

    def __init__(self, model, outputs, info):
        self.model, self.outputs = model, outputs
        self.metadata = {"AOTI_DEVICE_KEY": "cpu", "eseg": info.to_json()}

    def get_metadata(self):
        return self.metadata

    def __call__(self, pixels):
        assert pixels.dtype == torch.uint8
        logits = self.model.logits(pixels.permute(0, 3, 1, 2) / 255)
        if self.outputs == "logits":
            return logits
        return F.interpolate(logits, pixels.shape[1:3], mode="bilinear").argmax(1).byte()


@pytest.fixture
def package(best, toy_model, tmp_path, monkeypatch):
    """A file that passes for a package, and what torch is made to load from it."""

    def make(outputs="logits", **changes):
        path = tmp_path / "toy.pt2"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("toy/data/aotinductor/model", "")
        info = load_checkpoint(best).describe(outputs=outputs)
        loaded = LoadedPackage(toy_model, outputs, dataclasses.replace(info, **changes))
        monkeypatch.setattr(torch._inductor, "aoti_load_package", lambda *_, **__: loaded)
        return path, loaded

    return make


@pytest.mark.parametrize("outputs", ["logits", "labels"])
def test_packages_give_the_labels_of_their_checkpoint(package, predict, sample, outputs, noise):
    with_confidence = outputs == "logits"
    packaged = Predictor(package(outputs)[0], with_confidence=with_confidence)
    assert packaged.engine.name == "aotinductor"
    images = [sample.image, noise(20, 20), sample.image]
    for image, result in zip(images, packaged(images), strict=True):
        wanted = predict(image)
        assert (result.labels == wanted.labels).mean() >= 0.999
        if with_confidence:
            np.testing.assert_allclose(result.confidence, wanted.confidence, atol=1e-4)
            np.testing.assert_allclose(packaged.logits(image), predict.logits(image), atol=1e-4)


def test_packages_refuse_what_they_cannot_do(package, noise):
    path, _ = package(size=(16, 24))
    with pytest.raises(ImageError, match=r"20x30 pixels.*toy\.pt2 takes 16x24 only"):
        Predictor(path)(noise(20, 30))
    with pytest.raises(EngineError, match=r"compiled for fp32, not bf16"):
        Predictor(path, precision="bf16")
    with pytest.raises(DeviceError, match="abacus"):
        Predictor(path, device="abacus")
    with pytest.raises(ExportFileError, match=r"not confidence"):
        Predictor(package("labels")[0], with_confidence=True)
    path, loaded = package()
    loaded.metadata["AOTI_DEVICE_KEY"] = "cuda"
    with pytest.raises(EngineError, match=r"compiled for cuda and cannot run on cpu"):
        Predictor(path, device="cpu")
    del loaded.metadata["eseg"]
    with pytest.raises(ExportFileError, match=r"not exported by eseg"):
        Predictor(path)


def test_damaged_packages(tmp_path):
    for name, content in (("text.pt2", b"no package"), ("empty.pt2", b"")):
        (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(tmp_path / "other.pt2", "w") as archive:
        archive.writestr("a", "b")
    for name in ("text.pt2", "empty.pt2", "other.pt2"):
        with pytest.raises(ExportFileError, match=rf"{name}: not a \.pt2 package"):
            Predictor(tmp_path / name)
    with pytest.raises(ExportFileError, match=r"gone\.pt2: no such file"):
        Predictor(tmp_path / "gone.pt2")


def test_a_package_that_torch_refuses(package, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("made for another machine\nand much more")

    path, _ = package()
    monkeypatch.setattr(torch._inductor, "aoti_load_package", refuse)
    with pytest.raises(ExportFileError, match=r"toy\.pt2: torch cannot load it \(made.*machine\)"):
        Predictor(path)
