"""Check of the data by `eseg train` before it begins."""

import shutil

import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from eseg.cli import app, training_verbs
from eseg.config import to_plain
from eseg.training import trainer


@pytest.fixture
def begin(toy_config, toy_dataset, tmp_path, monkeypatch):
    """Calls `eseg train` on a copy of the toy data; gives its result and whether it trained."""
    data = tmp_path / "data"
    shutil.copytree(toy_dataset.parent, data)

    def call(*arguments):
        trained = []
        monkeypatch.setattr(trainer, "train", lambda *_, **__: trained.append(True))
        raw = to_plain(toy_config({"data.dataset": str(data / toy_dataset.name)}))
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(raw))
        return CliRunner().invoke(app, ["train", str(path), *arguments]), bool(trained)

    call.data = data
    return call


def test_good_data_is_read_once_and_trained_on(begin):
    result, trained = begin()
    assert "checked 13 images and masks" in result.output
    assert trained


@pytest.fixture
def faulty(begin):
    """The same with two faults: a mask of another size, and a picture that is in both splits."""
    mask = begin.data / "train" / "3_mask.png"
    Image.open(mask).resize((20, 20), 0).save(mask)
    for kind in (".png", "_mask.png"):
        (begin.data / "val" / f"8{kind}").write_bytes(
            (begin.data / "train" / f"1{kind}").read_bytes()
        )
    return begin


def test_every_error_is_named_before_anything_is_trained(faulty):
    result, trained = faulty()
    assert result.exit_code == 2
    assert not trained
    assert "3_mask.png: the mask is 20x20" in result.stderr
    assert "duplicate across splits" in result.stderr
    assert "--no-check" in result.stderr


@pytest.mark.parametrize("arguments", [["--no-check"], ["--resume"]])
def test_it_can_be_passed_over_and_a_resumed_run_does_so(faulty, arguments):
    result, trained = faulty(*arguments)
    assert trained
    assert "checked" not in result.output


def test_large_data_sets_are_checked_on_demand(faulty, monkeypatch):
    monkeypatch.setattr(training_verbs, "AUTOMATIC_UP_TO", 12)
    result, trained = faulty()
    assert trained
    assert "13 images, not checked beforehand" in result.output
    result, trained = faulty("--check")
    assert not trained


def test_of_several_processes_none_checks(faulty, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    result, trained = faulty()
    assert trained
    result, trained = faulty("--check")
    assert not trained
    assert "eseg doctor" in result.stderr
