import json
import subprocess
import sys

import numpy as np
import pytest
import typer
import yaml
from PIL import Image
from typer.testing import CliRunner

from eseg.checkpoint import load_checkpoint, save_checkpoint
from eseg.cli import app, options, spell_out_scales
from eseg.config import to_plain
from eseg.deploy.export.export import export
from eseg.engines.torch_engine import open_network

runner = CliRunner()


def call(*words):
    return runner.invoke(app, spell_out_scales([str(word) for word in words]))


@pytest.fixture
def checkpoint(toy_run):
    return toy_run.folder / "best.pt"


def test_help_teaches_every_verb():
    result = call("--help")
    assert result.exit_code == 0
    for verb in ("train", "evaluate", "predict", "models", "quickstart"):
        assert verb in result.output
        assert call(verb, "--help").exit_code == 0
    assert "quickstart" in call().output


def test_help_fills_the_screen_whatever_the_docstring_does(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    lines = call("pseudo-label", "--help").output.splitlines()
    (about,) = (line for line in lines if "Averages over scales" in line)
    assert "the exit code is then 1" in about  # the last sentence


def test_help_needs_no_torch():
    code = "import sys, eseg.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_train_takes_overrides_resumes_and_refuses_to_overwrite(toy_config, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(to_plain(toy_config({"train.steps": 50}))))
    words = ["train", path, "train.steps=2", "train.checkpoint_every=1", "--device", "cpu"]
    out = ["--output", tmp_path / "out"]

    first = call(*words, *out)
    assert first.exit_code == 0, first.output
    assert yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())["train"]["steps"] == 2
    assert "mean IoU" in first.output

    again = call(*words, *out)
    assert again.exit_code == 2
    assert "--resume" in again.output
    assert call(*words, *out, "--resume").exit_code == 0


def test_train_names_what_is_wrong_in_one_line(toy_config, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(to_plain(toy_config({}))))
    for override, part in [
        ("optim.lrr=1", "optim.lrr"),
        ("train.precision=int8", "bf16"),
        ("data.root=/nowhere", "/nowhere"),
        ("optim", "section.key=value"),
    ]:
        result = call("train", path, override, "--output", tmp_path / "out")
        assert result.exit_code == 2
        assert result.output.startswith("error: ")
        assert part in result.output.replace("\n", "")
        assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()
    result = call("train", path, "--device", "warp9")
    assert result.exit_code == 2
    assert "cpu" in result.output


def test_evaluate_prints_the_scores_that_training_kept(checkpoint, toy_dataset, toy_run, tmp_path):
    words = ["evaluate", checkpoint, "--data", toy_dataset, "--device", "cpu"]
    table = call(*words, "--save", tmp_path)
    assert table.exit_code == 0, table.output
    assert f"{toy_run.result.best['miou']:.4f}" in table.output
    assert "ball" in table.output
    saved = sorted(tmp_path.rglob("*.png"))
    assert [p.relative_to(tmp_path).as_posix() for p in saved] == [
        f"val/{name}.png" for name in ("10", "11", "12", "8", "9")
    ]

    report = json.loads(call(*words, "--json").stdout)
    assert report["miou"] == pytest.approx(toy_run.result.best["miou"], abs=1e-9)
    assert report["classes"] == ["ground", "box", "ball"]


def test_scales_take_several_numbers(checkpoint, toy_dataset, monkeypatch):
    seen = []

    def spy(source, name, options, **choices):
        seen.append((options.scales, options.flip))
        return open_network(source, name, options, **choices)

    monkeypatch.setattr("eseg.inference.evaluate.open_network", spy)
    words = ["evaluate", checkpoint, "--data", toy_dataset, "--device", "cpu"]
    for scales in (
        ["--scales", "0.5", "1.0", "2."],
        ["--scales", "0.5", "--scales", "1", "--scales", "2"],
        ["--scales=.5", "1", "2"],
    ):
        result = call(*words, *scales, "--flip", "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["scales"] == [0.5, 1.0, 2.0]
    assert set(seen) == {((0.5, 1.0, 2.0), True)}


@pytest.mark.parametrize("words", [["--scales", "nan"], ["--scales", "1", "--scales", "nan"]])
def test_scales_that_are_no_numbers_are_refused(checkpoint, toy_dataset, words):
    result = call("evaluate", checkpoint, "--data", toy_dataset, "--device", "cpu", *words)
    assert result.exit_code == 2
    assert "'--scales'" in result.output
    with pytest.raises(typer.BadParameter, match="nan is not a factor"):  # older Typers let it pass
        options._refuse_nan([float(word) for word in words if word != "--scales"])


def test_evaluate_refuses_a_data_set_of_other_classes(checkpoint, toy_dataset, tmp_path):
    described = yaml.safe_load(toy_dataset.read_text())
    described["root"] = str(toy_dataset.parent)
    described["classes"][2]["name"] = "cone"
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(described))
    result = call("evaluate", checkpoint, "--data", other)
    assert result.exit_code == 2
    assert "cone" in result.output


def test_predict_labels_what_it_can_and_fails_at_the_end(checkpoint, tmp_path):
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    sizes = {"a.png": (33, 47), "deep/b.jpg": (1, 1), "c.webp": (60, 20)}
    for name, size in sizes.items():
        picture = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    out = tmp_path / "out"

    good = call("predict", checkpoint, tmp_path / "in", "--output", out, "--device", "cpu")
    assert good.exit_code == 0, good.output
    for name, size in sizes.items():
        labels = (out / "labels" / name).with_suffix(".png")
        with Image.open(labels) as picture:
            assert picture.mode == "P"
            assert picture.size == size[::-1]
            assert np.asarray(picture).max() <= 2
        with Image.open((out / "overlays" / name).with_suffix(".jpg")) as picture:
            assert picture.width >= size[1]
            assert picture.height > size[0], "a legend stands below"

    (tmp_path / "in" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    bad = call("predict", checkpoint, tmp_path / "in", "--output", out, "--device", "cpu")
    assert bad.exit_code == 1
    assert "broken.png" in bad.output.replace("\n", "")
    assert "3 of 4 images" in bad.output


def test_predict_takes_exported_files_and_their_engines(checkpoint, tmp_path):
    (tmp_path / "in").mkdir()
    for name, size in {"a.png": (64, 48), "b.png": (20, 30)}.items():
        Image.new("RGB", size).save(tmp_path / "in" / name)
    network = export(checkpoint, tmp_path / "a.onnx", format="onnx", size=(48, 64))
    out = ["--output", tmp_path / "out"]

    for engine in ("onnxruntime", "openvino"):
        result = call("predict", network, tmp_path / "in" / "a.png", *out, "--engine", engine)
        assert result.exit_code == 0, result.output
        with Image.open(tmp_path / "out" / "labels" / "a.png") as labels:
            assert labels.size == (64, 48)

    other_size = call("predict", network, tmp_path / "in", *out)
    assert other_size.exit_code == 1
    message = other_size.output.replace("\n", "")
    assert "b.png: the image has 30x20 pixels" in message
    assert "1 of 2 images" in message

    for words, part in [
        ((checkpoint, "--engine", "openvino"), "export it first: eseg export"),
        ((network, "--engine", "torch"), "does not run .onnx files"),
        ((network, "--engine", "abacus"), "'--engine': 'abacus' is not one of"),
        ((network, "--flip"), "need the checkpoint"),
    ]:
        result = call("predict", *words, tmp_path / "in", *out)
        assert result.exit_code == 2
        assert part in result.output.replace("\n", "")


def test_predict_refuses_what_is_not_there(checkpoint, tmp_path):
    for words, part in [
        ((checkpoint, tmp_path / "absent"), "absent"),
        ((checkpoint, tmp_path), "no images"),
        ((tmp_path / "absent.pt", checkpoint), "absent.pt"),
    ]:
        result = call("predict", *words, "--output", tmp_path / "out")
        assert result.exit_code == 2
        assert part in result.output.replace("\n", "")


def test_predict_passes_over_hidden_files_and_what_it_wrote(checkpoint, tmp_path):
    for name in ("a.png", "._a.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    for _ in range(2):
        result = call("predict", checkpoint, tmp_path, "--output", tmp_path / "out")
        assert result.exit_code == 0, result.output
        assert "1 of 1 images" in result.output


def test_what_cannot_be_written_or_meant_is_one_line(checkpoint, toy_dataset, tmp_path):
    (tmp_path / "file").touch()
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    data = ["--data", toy_dataset, "--device", "cpu"]
    for words in (
        ["predict", checkpoint, tmp_path / "a.png", "--output", tmp_path / "file"],
        ["evaluate", checkpoint, *data, "--save", tmp_path / "file"],
        ["evaluate", checkpoint, *data, "--scales", "0"],
        ["evaluate", checkpoint, *data, "--precision", "int8"],
        ["predict", checkpoint, tmp_path / "a.png", "--output", "x", "--device", "cpu:7"],
    ):
        result = call(*words)
        assert result.exit_code == 2, words
        assert isinstance(result.exception, SystemExit), words


def test_evaluate_needs_nothing_of_the_training_machine(checkpoint, toy_dataset, tmp_path):
    """The checkpoint remembers where its data set was; that may be gone."""
    loaded = load_checkpoint(checkpoint)
    loaded.run["data"]["dataset"] = "/gone/dataset.yaml"
    save_checkpoint(loaded, tmp_path / "moved.pt")
    result = call("evaluate", tmp_path / "moved.pt", "--data", toy_dataset, "--device", "cpu")
    assert result.exit_code == 0, result.output


def test_images_that_would_overwrite_each_other_are_refused(checkpoint, tmp_path):
    for name in ("x.png", "x.jpg"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    result = call("predict", checkpoint, tmp_path, "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "same file" in result.output.replace("\n", " ")


def test_models_lists_the_family():
    rows = json.loads(call("models", "--size", "64x128", "--json").stdout)["models"]
    assert rows["eseg_l"]["paper_parameters"] == 70.5e6
    assert rows["eseg_s"]["paper_macs"] is None, "the paper counts at another size"
    assert call("models", "--size", "64").exit_code == 2


def test_python_m_eseg_is_the_same_program():
    done = subprocess.run(
        [sys.executable, "-m", "eseg", "version"], capture_output=True, text=True, check=True
    )
    import eseg

    assert done.stdout.strip() == eseg.__version__
