"""Training as the terminal and a log file show it."""

import io
import re

import pytest
from rich.console import Console

from eseg.cli import training_progress
from eseg.cli.screen import RichReporter
from eseg.reports.table import Table

STEP = (0.5, 0.02, 12.34, 800.0)


@pytest.fixture
def in_file():
    return Console(file=io.StringIO(), width=60)


def test_a_file_gets_a_line_now_and_then(in_file, monkeypatch):
    seconds = iter([0, 20, 31, 40, 62])
    monkeypatch.setattr(training_progress.time, "perf_counter", lambda: next(seconds))
    with RichReporter(in_file).training(steps=10, done=4) as progress:
        for _ in range(4):
            progress.advance(*STEP)
    assert in_file.file.getvalue().splitlines() == [
        "step 6/10  loss 0.500  lr 0.02  12.3 img/s  800 MiB",
        "step 8/10  loss 0.500  lr 0.02  12.3 img/s  800 MiB",
    ]


def test_an_evaluation_is_one_line_however_narrow_the_output(in_file):
    with RichReporter(in_file).training(steps=10, done=0) as progress:
        progress.evaluated(5, 0.25, 0.5, 0.75, 0.625)
    assert in_file.file.getvalue() == (
        "step 5/10  loss 0.250  val mIoU 0.5000  pixel accuracy 0.7500  best 0.6250\n"
    )


def test_a_terminal_has_a_live_line(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with RichReporter(console).training(steps=10, done=4) as progress:
        progress.advance(*STEP)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())
    assert re.search(r"step +5/10 .*loss 0\.500  lr 0\.02  12\.3 img/s  800 MiB", shown)


def test_names_in_lines_and_tables_are_not_markup(in_file):
    reporter = RichReporter(in_file)
    reporter.say(f"[bold]{'x' * 99}")
    reporter.show(Table(["class", "IoU"], [["[void]", "0.5"]], totals=[["[/b]", "0.5"]]))
    lines = in_file.file.getvalue().splitlines()
    assert lines[0] == f"[bold]{'x' * 99}"
    assert {"[void]", "[/b]"} <= {word for line in lines for word in line.split()}
    assert list(reporter.track([1, 2], description="images")) == [1, 2]
