"""`eseg export` as it is typed."""

import pytest
from typer.testing import CliRunner

from eseg.checkpoint import Checkpoint
from eseg.cli import app
from eseg.runtime.engine_table import open_engine

pytestmark = pytest.mark.usefixtures("unchecked")


def call(*words):
    return CliRunner().invoke(app, ["export", *map(str, words)])


@pytest.fixture
def best(toy_run):
    return toy_run.folder / "best.pt"


def test_the_file_its_size_and_what_to_run_next_are_printed(best, tmp_path):
    path = tmp_path / "net.onnx"
    result = call(best, "--output", path, "--size", "48x72")
    assert result.exit_code == 0, result.output
    megabytes = path.stat().st_size / 1e6
    assert f"{path} ({megabytes:.1f} MB)" in result.output
    assert f"eseg predict {path}" in result.output
    assert open_engine(path).info.size == (48, 72)


def test_8_bits_print_what_they_cost(best, toy_dataset, tmp_path):
    path = tmp_path / "net.onnx"
    words = [best, "--output", path, "--int8", "--calibrate", toy_dataset, "--images", 4]
    result = call(*words, "--max-drop", 5)
    assert result.exit_code == 0, result.output
    assert "5 images; calibrated on 4 others" in result.output.replace("\n", " ")
    assert "in 8 bits" in result.output.replace("\n", " ")
    assert open_engine(path).info.precision == "int8"


def test_a_data_set_to_verify_on_is_opened_before_the_export(best, tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoint, "build_model", None)
    for data, part in [
        (tmp_path / "typo.yaml", "typo.yaml"),
        ("streets", "other classes than the network: "),
    ]:
        result = call(best, "--output", tmp_path / "net.onnx", "--verify", data)
        assert result.exit_code == 2
        assert result.output.startswith("error: ")
        assert part in result.output.replace("\n", "")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_meant_is_one_line(best, toy_dataset, tmp_path):
    int8 = ["--int8", "--calibrate", toy_dataset]
    for words, part in [
        ([best, "--format", "tflite"], "'onnx', 'openvino', 'pt2'"),
        ([best, "--outputs", "masks"], "'logits', 'labels'"),
        ([best, "--size", "48"], "HEIGHTxWIDTH"),
        ([best, "--size", "48x72", "--dynamic"], "--dynamic"),
        ([best, "--int8"], "--calibrate"),
        ([best, "--calibrate", toy_dataset], "--int8"),
        ([best, "--images", 5], "--images does nothing without --int8"),
        ([best, "--max-drop", 0.3], "--max-drop does nothing without --int8 or --verify"),
        ([best, "--root", tmp_path], "--root does nothing without --calibrate or --verify"),
        ([best, *int8, "--half"], "--half"),
        ([best, *int8, "--format", "pt2"], "--format onnx or openvino"),
        ([best, *int8, "--root", tmp_path / "absent"], "absent"),
        ([best, "--device", "cuda"], "cuda"),
        ([best, "--output", tmp_path / "net.txt"], ".onnx"),
        ([best, "--output", tmp_path / "absent" / "net.onnx"], "--output"),
        ([toy_dataset], "eseg"),
        ([tmp_path / "absent.pt"], "absent.pt"),
    ]:
        result = call(*words)
        assert result.exit_code == 2, words
        assert result.output.startswith("error: "), result.output
        assert part in result.output.replace("\n", ""), words
        assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())
