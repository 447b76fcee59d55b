"""Packages of machine code. Compiling one takes a C++ compiler tens of seconds: it is done once."""

import numpy as np
import pytest
import torch

from eseg.checkpoint import Checkpoint
from eseg.deploy.export import aot_format
from eseg.deploy.export.export import export
from eseg.engines.upsampling_torch import upsample_labels
from eseg.errors import ExportError
from eseg.runtime.class_table import ClassTable
from eseg.runtime.predictor import Predictor

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture
def untrained(small):
    """A checkpoint of the least network that has every kind of part."""
    model = small(min_level=4, max_level=5)
    classes = ClassTable(("a", "b", "c", "d"), ((0, 0, 0), (9, 9, 9), (90, 0, 0), (0, 90, 0)))
    return Checkpoint(model.config, classes, model.state_dict(), step=3)


def test_one_package_gives_torch_s_labels_at_every_size(untrained, tmp_path):
    path = export(untrained, tmp_path / "net.pt2", format="pt2")
    assert list(tmp_path.iterdir()) == [path]
    predict = Predictor(path)
    assert predict.engine.name == "aotinductor"
    assert predict.info == untrained.describe()

    model = untrained.build_model()
    for size in [(1, 1), (33, 47), (64, 96)]:
        pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        with torch.no_grad():
            logits = model.logits(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)
        expected = upsample_labels(logits, size)[0].numpy()
        assert (predict(pixels).labels != expected[0]).mean() <= 1e-3


def test_without_a_compiler_the_remedy_is_named(untrained, tmp_path):
    nowhere = torch._inductor.config.patch({"cpp.cxx": (None, "no-such-compiler")})
    with nowhere, pytest.raises(ExportError, match=r"no C\+\+ compiler.*g\+\+.*`format` onnx"):
        export(untrained, tmp_path / "net.pt2", format="pt2", size=(32, 32))
    assert not list(tmp_path.iterdir())


def test_a_compiler_that_fails_is_quoted(untrained, tmp_path, monkeypatch):
    from torch._inductor.exc import CppCompileError

    def fail(*args, **options):
        raise CppCompileError(["g++"], "net.cpp:1: error\nfatal error: Python.h not found")

    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", fail)
    monkeypatch.setattr(aot_format, "trace", lambda network, size: None)
    with pytest.raises(ExportError, match=r"cannot be compiled: fatal error: Python\.h not found"):
        export(untrained, tmp_path / "net.pt2", format="pt2")
