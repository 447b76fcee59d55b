"""`eseg doctor` as people call it, and training with what it writes."""

import json
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from eseg.cli import app
from eseg.config import to_plain


def call(*arguments):
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)])


@pytest.fixture
def toy_copy(toy_dataset, tmp_path):
    """The toy data set's YAML, in a folder that may be spoilt."""
    shutil.copytree(toy_dataset.parent, tmp_path / "toy")
    return tmp_path / "toy" / toy_dataset.name


def test_a_faultless_data_set(toy_dataset):
    result = call(toy_dataset)
    assert result.exit_code == 0, result.output
    assert "0 errors" in result.output


def test_errors_are_named_and_end_with_1(toy_copy):
    (toy_copy.parent / "train/3_mask.png").write_bytes(b"")
    result = call(toy_copy)
    assert result.exit_code == 1
    assert "3_mask.png: the file is empty" in " ".join(result.output.split())


def test_json_alone_on_standard_output(toy_copy, tmp_path):
    (toy_copy.parent / "val/9_mask.png").unlink()
    result = call(toy_copy, "--json", "--fix-config", tmp_path / "new.yaml")
    assert result.exit_code == 1
    (finding,) = json.loads(result.stdout)["findings"]
    assert finding["kind"] == "missing partner"
    assert (tmp_path / "new.yaml").is_file()


def test_sheet(toy_dataset, tmp_path):
    result = call(toy_dataset, "--sheet", tmp_path / "sheet.png")
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "sheet.png") as picture:
        assert np.asarray(picture).std() > 0


def test_a_bare_folder_becomes_a_data_set_that_trains(
    toy_dataset, toy_config, tmp_path, monkeypatch
):
    folder, described = tmp_path / "bare", tmp_path / "written/data.yaml"
    for kind in ("pictures", "annotations"):
        (folder / kind).mkdir(parents=True)
    for image in toy_dataset.parent.glob("*/*[0-9].png"):
        shutil.copy(image, folder / "pictures")
        shutil.copy(image.with_name(f"{image.stem}_mask.png"), folder / "annotations" / image.name)
    result = call(folder, "--fix-config", described)
    assert result.exit_code == 0, result.output
    assert "names and colours are guesses" in result.output
    assert sorted(path.name for path in described.parent.iterdir()) == [
        "data.yaml",
        "data_train.txt",
        "data_val.txt",
    ]

    run = tmp_path / "run.yaml"
    plain = to_plain(toy_config({"train.steps": 2}))
    del plain["model"]["num_classes"]
    run.write_text(yaml.safe_dump(plain))
    monkeypatch.chdir(tmp_path)
    changes = ["data.dataset=written/data.yaml"]
    trained = CliRunner().invoke(app, ["train", "run.yaml", *changes, "--device", "cpu"])
    assert trained.exit_code == 0, trained.output
    assert "10 train and 3 val images" in trained.output
    assert (tmp_path / "runs/run/best.pt").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "neither a file nor a data set known by name"),
        (["streets"], "made on the fly"),
        (["cityscapes"], "--root"),
        ([".", "--root", "."], "is a folder and lies where it is"),
        (["."], "no pictures in it"),
        (["a.yaml", "--fix-config", "a.yaml"], "--fix-config would replace it"),
    ],
)
def test_what_cannot_be_examined_ends_with_2(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").touch()
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_json_tells_what_was_mended(toy_copy, tmp_path):
    (toy_copy.parent / "val/9_mask.png").write_bytes(b"")
    result = call(toy_copy, "--json", "--fix-config", tmp_path / "new.yaml")
    mended = json.loads(result.stdout)["mended"]
    assert mended["written"][0] == str(tmp_path / "new.yaml")
    assert [path.rsplit("/", 1)[1] for path in mended["left_out"]] == ["9.png"]
    assert mended["ignored"] == []


def test_no_word_of_training_where_a_split_is_missing(toy_copy, tmp_path):
    shutil.rmtree(toy_copy.parent / "train")
    result = call(toy_copy.parent, "--fix-config", tmp_path / "new.yaml")
    assert result.exit_code == 1
    assert "To train" not in result.output
    plain = json.loads(call(toy_copy.parent, "--json").stdout)
    assert plain["findings"][0]["kind"] == "missing split"
    assert plain["proposal"]["classes"]
