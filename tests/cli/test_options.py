"""Default folder of a run."""

from pathlib import Path

import pytest

from eseg.cli.options import default_output


@pytest.mark.parametrize(
    ("config", "folder"),
    [
        ("configs/camvid/cpu_1h.yaml", "camvid_cpu_1h"),
        ("/data/yard/run.yaml", "yard_run"),
        ("run.yaml", "run"),
        ("../run.yaml", "run"),
    ],
)
def test_a_run_has_the_name_of_its_config(config, folder):
    assert default_output(Path(config)) == Path("runs") / folder
