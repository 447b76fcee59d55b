"""Printing: folders and classes may hold brackets and colons, and are never markup."""

import io

import pytest
import typer
from rich.console import Console
from typer.main import get_command

from eseg.cli import app, screen
from eseg.cli.screen import RichReporter, clear_errors, name_options, print_table
from eseg.errors import OutputError
from eseg.reports.table import Table

NAMES = ["runs/[exp1]/best.pt", "runs/[/b]", "runs/:star:/a", "runs/a\\"]
VERBS = get_command(app).commands


@pytest.fixture
def terminal(monkeypatch):
    """Stands in for the console: a terminal, whatever the environment of the tests is."""
    console = Console(
        file=io.StringIO(), force_terminal=True, width=100, _environ={"TERM": "xterm"}
    )
    monkeypatch.setattr(screen, "console", console)
    return console


@pytest.mark.parametrize("name", NAMES)
def test_lines_are_not_markup(name, capsys):
    screen.print_line(f"{name} is " + "long " * 40)
    screen.complain(f"{name}: no such file")
    screen.complain(f"{name} is odd", "warning")
    printed = capsys.readouterr()
    assert printed.out == f"{name} is {'long ' * 40}\n"
    assert printed.err == f"error: {name}: no such file\nwarning: {name} is odd\n"


@pytest.mark.parametrize("name", NAMES[:2])
def test_descriptions_of_bars_are_not_markup(name, terminal):
    with RichReporter() as reporter:
        reporter.status(f"exporting {name}")
        assert list(reporter.track([1, 2], description=f"measuring {name}")) == [1, 2]
    assert f"exporting {name}" in terminal.file.getvalue()
    assert f"measuring {name}" in terminal.file.getvalue()


@pytest.mark.parametrize("environment", [{"TERM": "xterm"}, {"TERM": "dumb"}, {}])
def test_bars_pass_on_all_items_in_every_terminal(environment, monkeypatch):
    terminal = Console(file=io.StringIO(), force_terminal=True, _environ=environment)
    monkeypatch.setattr(screen, "console", terminal)
    with RichReporter() as reporter:
        assert list(reporter.track(iter([1, 2, 3]), total=3)) == [1, 2, 3]
        reporter.say("done")
    assert "done\n" in terminal.file.getvalue()
    assert ("3/3" in terminal.file.getvalue()) == (environment.get("TERM") != "dumb")


def test_no_bar_where_there_is_no_terminal(capsys):
    with RichReporter() as reporter:
        reporter.status("exporting")
        assert sum(reporter.track(range(3))) == 3
    assert capsys.readouterr() == ("", "")


def test_a_bar_goes_away_when_its_work_fails(terminal):
    with RichReporter() as reporter:
        images = iter(reporter.track(range(3)))
        next(images)  # and the work with it fails
    hide_cursor, show_cursor = "\x1b[?25l", "\x1b[?25h"
    assert terminal.file.getvalue().count(hide_cursor) == 1
    assert terminal.file.getvalue().count(show_cursor) == 1


def test_all_goes_to_standard_error_beside_json(capsys):
    with RichReporter(err=True) as reporter:
        reporter.say("line")
        reporter.show(Table(["class", "IoU"], [["road", "0.9"]]))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("line\n")
    assert "road" in printed.err


def test_a_table_is_plain_text_with_totals_under_a_rule(capsys):
    rows = [["[bold]road", "0.25"], ["car:star:", "0.5"]]
    print_table(Table(["class", "IoU"], rows, [["mean", "0.375"]], title="[scores]"))
    lines = capsys.readouterr().out.splitlines()
    title, _, heading, _, road, car, rule, mean, _ = lines
    assert title.strip() == "[scores]"
    assert road.split() == ["[bold]road", "0.25"]
    assert car.split() == ["car:star:", "0.5"]
    assert set(rule) <= {" ", "─"}
    assert "─" in rule
    ends = {len(line.rstrip()) for line in (heading, road, car, mean)}
    assert len(ends) == 1, "numbers are aligned right"
    assert heading.index("class") == road.index("[bold]") == mean.index("mean")


def test_strong_rows_are_bold(terminal):
    print_table(
        Table(["class"], [["road"], ["car"]], [["mean"]], strong=frozenset({1, 2})), terminal
    )
    lines = terminal.file.getvalue().splitlines()
    bold = [name for name in ("road", "car", "mean") for line in lines if name in line
            if "\x1b[1m" in line]  # fmt: skip
    assert bold == ["car", "mean"]


@pytest.mark.parametrize(
    ("verb", "message", "spelt"),
    [
        ("train", "choose another `output`", "choose another --output"),
        ("train", "`root` is missing", "data.root=PATH is missing"),
        ("train", "`size` 3", "`size` 3"),
        ("self-train", "no images in `images`", "no images in --unlabelled"),
        ("export", "more than `max_drop` 0.3", "more than --max-drop 0.3"),
        ("export", "`format` pt2 in `int8`", "--format pt2 in --int8"),
        ("export", "run `eseg export` with `outputs`", "run `eseg export` with --outputs"),
        ("evaluate", "`checkpoint` and `root`", "CHECKPOINT_OR_EXPORT and --root"),
        ("verify", "`checkpoint` or `agreement`", "--against or --tolerance"),
        ("benchmark", "`images` or `sources`", "--image or SUBJECT"),
        ("benchmark", "`as_json`", "--json"),
        ("predict", "`images`, `classes`", "IMAGES, `classes`"),
        ("pseudo-label", "`flip`", "--flip"),
    ],
)
def test_arguments_become_options_of_the_verb(verb, message, spelt):
    assert name_options(message, VERBS[verb]) == spelt


def test_every_alias_stands_for_something_else():
    for verb, aliases in screen._ALIASES.items():
        assert not aliases.keys() & {parameter.name for parameter in VERBS[verb].params}
        options = {option for parameter in VERBS[verb].params for option in parameter.opts}
        for spelt in aliases.values():
            assert not spelt.startswith("--") or spelt in options


def test_errors_outside_the_group_keep_their_words(capsys):
    with pytest.raises(typer.Exit) as ended, clear_errors():
        raise OutputError("a: cannot be written; choose another `output`")
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == "error: a: cannot be written; choose another `output`\n"
