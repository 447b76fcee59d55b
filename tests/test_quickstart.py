import json
from importlib.resources import files

import pytest
import yaml
from typer.testing import CliRunner

from eseg import quickstart
from eseg.cli import app
from eseg.config import load_config


def test_it_trains_measures_and_labels(tmp_path, monkeypatch):
    """The real command with fewer, smaller scenes and steps."""

    def smaller(path):
        return load_config(
            path,
            [
                "data.streets={size: [48, 96], train_length: 20, val_length: 9}",
                "augment.crop=[40, 80]",
                "train.steps=3",
                "train.batch_size=2",
                "loader.workers=0",
                "model.width=0.2",
            ],
        )

    monkeypatch.setattr(quickstart, "load_config", smaller)
    folder = tmp_path / "[first]"
    result = CliRunner().invoke(app, ["quickstart", "--output", str(folder), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    miou = json.loads((folder / "scores.json").read_text())["miou"]
    assert f"mIoU on 9 unseen scenes: {miou:.3f}\n" in result.output
    assert f"look at     {folder}/sheet.png" in result.output
    for name in ("best.pt", "sheet.png", "curve.png"):
        assert (folder / name).stat().st_size > 0
    overlays = list((folder / "predictions" / "overlays").glob("*.jpg"))
    assert len(overlays) == quickstart.SCENES


def test_it_goes_on_with_whatever_an_interruption_left(tmp_path, monkeypatch):
    """With previous.pt alone, say: which files are enough is for the training to know."""
    asked = []

    def train(config, output, *, resume, **_):
        asked.append(resume)
        raise KeyboardInterrupt

    monkeypatch.setattr(quickstart, "train", train)
    (tmp_path / "previous.pt").touch()
    with pytest.raises(KeyboardInterrupt):
        quickstart.run_quickstart(tmp_path, device="cpu")
    assert asked == [True]


def test_its_config_is_a_lite_s_on_streets():
    raw = yaml.safe_load((files("eseg") / "quickstart.yaml").read_text())
    assert raw["model"]["preset"] == "eseg_lite_s"
    assert raw["data"]["dataset"] == "streets"
