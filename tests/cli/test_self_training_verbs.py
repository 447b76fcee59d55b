"""Options of pseudo-labelling that cannot be read."""

import pytest
from typer.testing import CliRunner

from eseg.cli import app


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["0.9"], "'0.9' is not CLASS=NUMBER"),
        (["=0.9"], "'=0.9' is not CLASS=NUMBER"),
        (["road=much"], "'road=much' is not CLASS=NUMBER"),
        (["road=0.2", "road=0.9"], "given twice for 'road'"),
        (["road=0.2", "road=0.2"], "given twice for 'road'"),
    ],
)
def test_a_class_threshold_has_a_class_and_one_number(tmp_path, options, message):
    (tmp_path / "best.pt").touch()
    words = ["pseudo-label", str(tmp_path / "best.pt"), "--images", str(tmp_path)]
    words += ["--output", str(tmp_path / "o")]
    for option in options:
        words += ["--class-threshold", option]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize("threshold", ["1", "-0.1", "nan"])
@pytest.mark.parametrize(
    "words",
    [
        ["pseudo-label", "best.pt", "--images", "."],
        ["self-train", "run.yaml", "--unlabelled", "."],
    ],
)
def test_a_threshold_out_of_range_is_named_as_it_was_typed(tmp_path, monkeypatch, words, threshold):
    monkeypatch.chdir(tmp_path)
    (tmp_path / words[1]).touch()
    words = [*words, "--output", "o", f"--threshold={threshold}"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "--threshold" in result.output
    assert f"{threshold} is not at least 0 and below 1" in result.output
    assert "[0<=x<1]" in CliRunner().invoke(app, [words[0], "--help"]).output
