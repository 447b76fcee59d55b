import importlib.util
from pathlib import Path

import pytest
import torch

from eseg.checkpoint import load_checkpoint
from eseg.deploy.benchmark import subjects as module
from eseg.deploy.benchmark.subjects import engines_for, find_subjects, random_checkpoint
from eseg.errors import BenchmarkError, CheckpointError, DeviceError, EngineError
from eseg.models import PRESETS

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def exports(monkeypatch):
    """Records what would be exported, and writes nothing."""
    made = []

    def export(file, path, form, device, precision):
        made.append((Path(file).name, path.name, form))

    monkeypatch.setattr(module, "_export", export)
    return made


@pytest.mark.parametrize(
    ("file", "asked", "device", "expected"),
    [
        ("best.pt", (), CPU, ["torch", "onnxruntime", "openvino"]),
        ("best.pt", (), CUDA, ["torch", "compile"]),
        ("best.pt", ("openvino", "compile"), CPU, ["openvino", "compile"]),
        ("best.pt", ("aotinductor",), CPU, ["aotinductor"]),
        ("a.onnx", (), CPU, ["onnxruntime", "openvino"]),
        ("a.onnx", ("torch", "openvino"), CPU, ["openvino"]),
        ("a.ONNX", (), CPU, ["onnxruntime", "openvino"]),
        ("a.xml", (), CPU, ["openvino"]),
        ("a.pt2", (), CPU, ["aotinductor"]),
    ],
)
def test_engines_that_fit(file, asked, device, expected):
    assert engines_for(Path(file), asked, device) == expected


@pytest.mark.parametrize(
    ("file", "asked", "device", "expected"),
    [
        ("best.pt", (), CPU, ["torch", "openvino"]),
        ("best.pt", (), CUDA, ["torch", "compile"]),
        ("a.onnx", (), CPU, ["openvino"]),
        ("a.pt2", (), CPU, ["aotinductor"]),  # to say what it cannot do
        ("best.pt", ("onnxruntime",), CPU, ["onnxruntime"]),
    ],
)
def test_by_default_engines_are_left_out_that_cannot_compute_so(file, asked, device, expected):
    """Those that compute as a file was exported have no bf16."""
    assert engines_for(Path(file), asked, device, "bf16") == expected


def test_every_subject_of_a_benchmark_in_bf16_can_compute_so(toy_run, tmp_path, exports):
    best = str(toy_run.folder / "best.pt")
    found = find_subjects([best], tmp_path, device="cpu", precision="bf16")
    assert [s.engine for s in found] == ["torch", "openvino"]


def test_engines_that_are_not_installed_are_left_out(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "openvino" else found(name)
    )
    assert engines_for(Path("a.onnx"), (), CPU) == ["onnxruntime"]
    assert engines_for(Path("a.xml"), (), CPU) == ["openvino"]  # to say what is missing


def test_engines_that_do_not_fit_are_named():
    with pytest.raises(BenchmarkError, match=r"a\.xml: torch and onnxruntime .* take openvino"):
        engines_for(Path("a.xml"), ("torch", "onnxruntime"), CPU)
    with pytest.raises(EngineError, match=r"warp.*there are torch, compile"):
        engines_for(Path("a.onnx"), ("warp",), CPU)


def test_every_source_on_every_engine(toy_run, tmp_path, exports):
    best, last = (toy_run.folder / name for name in ("best.pt", "last.pt"))
    found = find_subjects(
        [str(best), str(last)], tmp_path, engines=["torch", "openvino"], device="cpu", threads=3
    )
    assert [(s.name, s.path.suffix) for s in found] == [
        ("best.pt torch", ".pt"),
        ("best.pt openvino", ".xml"),
        ("last.pt torch", ".pt"),
        ("last.pt openvino", ".xml"),
    ]
    assert exports == [
        ("best.pt", "0_best_openvino.xml", "openvino"),
        ("last.pt", "1_last_openvino.xml", "openvino"),
    ]
    assert {(s.device, s.threads, s.is_trained) for s in found} == {("cpu", 3, True)}


def test_names_differ_also_where_file_names_do_not(toy_run, tmp_path, exports):
    copy = tmp_path / "best.pt"
    copy.write_bytes(b"any")
    sources = [str(toy_run.folder / "best.pt"), str(copy), str(copy)]
    found = find_subjects(sources, tmp_path, engines=["torch"], device="cpu")
    assert [s.name for s in found] == [f"{source} torch" for source in sources[:2]]


def test_a_preset_becomes_a_checkpoint_with_random_weights(tmp_path):
    (found,) = find_subjects(["eseg_lite_s"], tmp_path, engines=["torch"], device="cpu")
    assert not found.is_trained
    checkpoint = load_checkpoint(found.path)
    assert checkpoint.model == PRESETS["eseg_lite_s"]
    assert checkpoint.build_model().config.num_classes == len(checkpoint.classes)
    again = random_checkpoint("eseg_lite_s")
    assert all(torch.equal(again.weights[name], w) for name, w in checkpoint.weights.items())


@pytest.mark.parametrize(
    ("source", "options", "error", "part"),
    [
        ("nowhere.pt", {}, BenchmarkError, "nowhere.pt: neither a file nor a preset.*eseg_lite_s"),
        ("eseg_xl", {}, BenchmarkError, "eseg_xl: neither a file nor a preset"),
        ("eseg_lite_s", {"device": "warp9"}, DeviceError, "warp9"),
        ("eseg_lite_s", {"precision": "fp7"}, DeviceError, "fp7"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, source, options, error, part):
    with pytest.raises(error, match=part):
        find_subjects([source], tmp_path, **({"device": "cpu"} | options))
    assert not list(tmp_path.iterdir())


def test_a_foreign_file_is_refused_before_it_is_exported(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("no network")
    with pytest.raises(CheckpointError, match=r"notes\.txt"):
        find_subjects([str(file)], tmp_path, engines=["onnxruntime"], device="cpu")
