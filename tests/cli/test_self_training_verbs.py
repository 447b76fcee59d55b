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
    words = ["pseudo-label", "best.pt", "--images", str(tmp_path), "--output", str(tmp_path / "o")]
    for option in options:
        words += ["--class-threshold", option]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize("threshold", ["1", "-0.1", "nan"])
@pytest.mark.parametrize(
    "words",
    [["pseudo-label", "best.pt", "--images", "x"], ["self-train", "run.yaml", "--unlabelled", "x"]],
)
def test_a_threshold_out_of_range_is_named_as_it_was_typed(tmp_path, words, threshold):
    words = [*words, "--output", str(tmp_path / "o"), f"--threshold={threshold}"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "--threshold" in result.output
    assert f"{threshold} is not at least 0 and below 1" in result.output
    assert "[0<=x<1]" in CliRunner().invoke(app, [words[0], "--help"]).output
