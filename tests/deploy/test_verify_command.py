"""`eseg verify` and `eseg export --verify` as they are typed."""

import dataclasses
import inspect
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from eseg.checkpoint import load_checkpoint, save_checkpoint
from eseg.cli import app
from eseg.cli.export_verbs import verify
from eseg.deploy.export.quantise import MAX_DROP
from eseg.deploy.verify import verify as module


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def file(exported, tmp_path_factory):
    """An export beside which pictures may be left."""
    path = tmp_path_factory.mktemp("exported") / "best.onnx"
    return Path(shutil.copy(exported("fixed.onnx", size=(40, 56)), path))


@pytest.fixture(scope="module")
def other(toy_run, tmp_path_factory):
    """Other weights of the same run: those of the last step, not their average."""
    last = load_checkpoint(toy_run.folder / "last.pt")
    path = tmp_path_factory.mktemp("other") / "other.pt"
    save_checkpoint(dataclasses.replace(last, weights=last.training["network"]), path)
    return path


def test_a_file_that_passes_exits_with_0(file, best, toy_dataset):
    result = call("verify", file, "--against", best, "--data", toy_dataset)
    assert result.exit_code == 0, result.output
    for part in ("ball", "mean IoU", "equal labels: 100 %", "resized to 40x56", "passed"):
        assert part in result.output
    with Image.open(file.with_name("best.onnx.worst.png")) as picture:
        assert min(picture.size) > 600


def test_a_file_that_differs_exits_with_1(file, other, toy_dataset, tmp_path):
    words = ["verify", file, "--against", other, "--data", toy_dataset]
    words += ["--json", "--output", tmp_path / "worst.png"]
    result = call(*words)
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert not report["passed"]
    assert report["images"] == 5
    assert report["picture"] == str(tmp_path / "worst.png")
    assert (tmp_path / "worst.png").exists()
    assert result.stderr.startswith("error: ")
    assert "labels are the checkpoint's" in result.stderr.replace("\n", " ")

    allowed = call(*words, "--tolerance", 0, "--max-drop", 100, "--limit", 2)
    assert allowed.exit_code == 0
    assert json.loads(allowed.stdout)["images"] == 2


@pytest.mark.usefixtures("unchecked")
def test_export_verifies_on_request(best, toy_dataset, tmp_path):
    words = ["export", best, "--output", tmp_path / "a.onnx", "--size", "40x56"]
    result = call(*words, "--verify", toy_dataset, "--max-drop", -1)  # as much must be gained
    assert result.exit_code == 1
    assert "5 of them resized to 40x56" in result.output
    assert "at most -1" in result.stderr.replace("\n", " ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "a.onnx.worst.png"]


def test_what_cannot_be_verified_is_one_line(file, best, toy_dataset, tmp_path):
    foreign, cone, absent = (tmp_path / name for name in ("foreign.onnx", "cone.pt", "absent"))
    foreign.write_bytes(b"no network")
    checkpoint = load_checkpoint(best)
    classes = dataclasses.replace(checkpoint.classes, names=("ground", "box", "cone"))
    save_checkpoint(dataclasses.replace(checkpoint, classes=classes), cone)
    for (given, against, data, *more), part in [
        ((absent.with_suffix(".onnx"), best, toy_dataset), "absent.onnx"),
        ((foreign, best, toy_dataset), "foreign.onnx"),
        ((file, cone, toy_dataset), "cone"),
        ((file, file, toy_dataset), "checkpoint that eseg wrote"),
        ((best, best, toy_dataset), "eseg export"),
        ((file, best, absent), "absent"),
        ((file, best, toy_dataset, "--split", "test"), "test"),
        ((file, best, toy_dataset, "--engine", "tensorrt"), "tensorrt"),
        ((file, best, toy_dataset, "--device", "warp9"), "warp9"),
        ((file, best, toy_dataset, "--output", "/dev/null/x.png"), "--output"),
    ]:
        result = call("verify", given, "--against", against, "--data", data, *more)
        assert result.exit_code == 2, part
        assert result.stderr.startswith("error: "), part
        assert part in result.stderr, part
        assert result.stderr.count("\n") == 1, part


@pytest.mark.parametrize("name", ["worst.txt", "absent/worst.png"])
def test_a_picture_that_cannot_be_written_is_refused_at_once(
    file, best, toy_dataset, tmp_path, monkeypatch, name
):
    monkeypatch.setattr(module, "verify", None)
    words = ["verify", file, "--against", best, "--data", toy_dataset]
    result = call(*words, "--output", tmp_path / name)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: --output {tmp_path / name}: ")
    assert result.stderr.count("\n") == 1


def test_the_verb_and_the_library_allow_the_same_drop():
    assert inspect.signature(verify).parameters["max_drop"].default == MAX_DROP
