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
        (["road=0.2", "road=0.9"], "gives 'road' both 0.2 and 0.9"),
    ],
)
def test_a_class_threshold_has_a_class_and_one_number(tmp_path, options, message):
    words = ["pseudo-label", "best.pt", "--images", str(tmp_path), "--output", str(tmp_path / "o")]
    for option in options:
        words += ["--class-threshold", option]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert message in result.output
