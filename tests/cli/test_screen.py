"""What is printed stands there as it is: folders and classes may hold brackets and colons."""

import io

import pytest
from rich.console import Console

from eseg.cli import screen

NAMES = ["runs/[exp1]/best.pt", "runs/[/b]", "runs/:star:/a", "runs/a\\"]


@pytest.mark.parametrize("name", NAMES)
def test_lines_are_no_markup(name, capsys):
    screen.print_line(f"{name} is " + "long " * 40)
    screen.complain(f"{name}: no such file")
    screen.warn(f"{name} is odd")
    printed = capsys.readouterr()
    assert printed.out == f"{name} is {'long ' * 40}\n"
    assert printed.err == f"error: {name}: no such file\nwarning: {name} is odd\n"


@pytest.mark.parametrize("name", NAMES[:2])
def test_what_a_bar_is_for_is_no_markup(name, monkeypatch):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(screen, "console", terminal)
    with screen.progress_bar() as progress:
        progress.add_task(f"exporting {name}", total=None)
    assert f"exporting {name}" in terminal.file.getvalue()
