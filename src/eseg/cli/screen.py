"""Terminal of the command line: lines, tables, progress, and errors as one clear line."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer
from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from eseg.errors import EsegError, LostProcessError
from eseg.reports.reporter import Reporter

if TYPE_CHECKING:
    from rich.progress import Progress

    from eseg.cli.training_progress import RichTrainingProgress
    from eseg.reports.table import Table

Item = TypeVar("Item")

console = Console()

_SEVERITY_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "cyan"}

_REPEATED, _SECOND_HAND = 3, 6
"""Seconds until an error is printed that the first process on a machine may have too, and one that
only says that another process failed: meanwhile torchrun ends those who have nothing new to say."""
_GO_ON = "The same command (eseg train: with --resume) goes on"

_ALIASES = {
    "train": {"root": "data.root=PATH"},
    "self-train": {
        "root": "data.root=PATH",
        "images": "--unlabelled",
        "given_teacher": "--teacher",
        "class_thresholds": "--class-threshold",
    },
    "pseudo-label": {"class_thresholds": "--class-threshold"},
    "verify": {"checkpoint": "--against", "agreement": "--tolerance"},
    "benchmark": {"images": "--image", "engines": "--engine", "sources": "SUBJECT"},
}
"""Arguments of the library that a verb spells otherwise than as a parameter of the same name."""


def name_options(message: str, verb: Any) -> str:
    """Replace arguments in backticks by the options of a Typer command: "another `output`"."""
    spelt = {
        parameter.name: max(parameter.opts, key=len)
        if parameter.param_type_name == "option"
        else (parameter.metavar or parameter.name.upper()).strip("[].")
        for parameter in verb.params
    } | _ALIASES.get(verb.name, {})
    return re.sub(r"`(\w+)`", lambda match: spelt.get(match[1], match[0]), message)


@contextmanager
def clear_errors(context: Any = None) -> Iterator[None]:
    """Print what the user can mend as one line and exit with 2; let everything else be a bug.

    Typer's context of the group of verbs serves to name the options of the one that runs.
    """
    try:
        yield
    except typer.BadParameter as error:
        if type(error) is not typer.BadParameter:  # a missing one: Typer shows the usage
            raise
        _fail(error.format_message().replace(": Value error, ", ": "))
    except EsegError as error:
        message = str(error)
        if context is not None and context.invoked_subcommand is not None:
            message = name_options(message, context.command.commands[context.invoked_subcommand])
        _fail(message, second_hand=isinstance(error, LostProcessError))
    except KeyboardInterrupt:
        _end_interrupted("interrupted")
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's: it is not imported to ask
            raise
        _fail(
            "the device is out of memory; lower train.batch_size, raise train.accumulate, or take "
            f"smaller crops or images ({str(error).splitlines()[0]})"
        )


@contextmanager
def resumable() -> Iterator[None]:
    """Say, once per machine, how to go on when the user, torchrun or a scheduler ends the work."""

    def end(number: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    is_first = _is_first_on_machine()
    before = signal.signal(signal.SIGTERM, end) if is_first else None
    try:
        yield
    except KeyboardInterrupt:
        _end_interrupted(f"interrupted. {_GO_ON}")
    except SystemExit as error:
        if is_first and error.code == 128 + signal.SIGTERM:
            complain(
                "ended from outside (SIGTERM): by torchrun where another process of the run has "
                f"ended, which its summary names; by a scheduler when the time is up. {_GO_ON}"
            )
        raise
    finally:
        if is_first:
            signal.signal(signal.SIGTERM, before)


def _is_first_on_machine() -> bool:
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _end_interrupted(message: str) -> NoReturn:
    """Exit with 130; the first process on a machine prints the message."""
    if _is_first_on_machine():
        complain(message)
    raise typer.Exit(130) from None


def _fail(message: str, *, second_hand: bool = False) -> NoReturn:
    """Print an error and exit with 2; wait first where another process may print it better."""
    if second_hand:
        time.sleep(_SECOND_HAND)
    elif not _is_first_on_machine():
        time.sleep(_REPEATED)
    complain(message)
    raise typer.Exit(2) from None


def complain(message: str, severity: str = "error", target: Console | None = None) -> None:
    """Print a line, on standard error by default, unbroken: a path broken in two is of no use."""
    line = Text.assemble((f"{severity}:", _SEVERITY_STYLES[severity]), f" {message}")
    (target or Console(stderr=True)).print(line, soft_wrap=True)


def print_line(line: str, target: Console | None = None) -> None:
    """Print a line as is and unbroken: brackets and colons in paths and names are not markup."""
    (target or console).print(Text(line), soft_wrap=True)


def print_table(table: Table, target: Console | None = None) -> None:
    """Print a table; its cells are plain text, not markup."""
    shown = RichTable(title=Text(table.title) if table.title else None, box=box.HORIZONTALS)
    for position, heading in enumerate(table.headings):
        shown.add_column(Text(heading), justify="right" if position else "left", overflow="fold")
    for index, row in enumerate((*table.rows, *table.totals)):
        if index == len(table.rows):
            shown.add_section()
        shown.add_row(*map(Text, row), style="bold" if index in table.strong else None)
    (target or console).print(shown)


def print_result(
    document: Any, tables: Iterable[Table] = (), lines: Iterable[str] = (), *, as_json: bool
) -> None:
    """Print what a verb found: a document as indented JSON, or tables and lines for people."""
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return
    for table in tables:
        print_table(table)
    for line in lines:
        print_line(line)


class RichReporter(Reporter, ExitStack):
    """Reporter that prints lines and tables, and shows progress in a terminal.

    As a stack of contexts it holds at most one, the status or bar that is shown: that goes away at
    the end. With `err` it prints on standard error, because standard output is for JSON.
    """

    def __init__(self, target: Console | None = None, *, err: bool = False) -> None:
        super().__init__()
        self._console = target or (Console(stderr=True) if err else console)

    def say(self, text: str) -> None:
        """Print a line that stays."""
        print_line(text, self._console)

    def show(self, table: Table) -> None:
        """Print a table."""
        print_table(table, self._console)

    def status(self, text: str) -> None:
        """Show a line in a terminal until the next status or bar, or the end."""
        self._draw(text)

    def track(
        self, items: Iterable[Item], *, total: int | None = None, description: str = ""
    ) -> Iterable[Item]:
        """Pass items on and show a bar in a terminal meanwhile."""
        progress = self._draw(description)
        if progress is None:
            yield from items
            return
        with progress:
            yield from progress.track(items, total, task_id=progress.task_ids[0])

    @contextmanager
    def training(self, steps: int, done: int) -> Iterator[RichTrainingProgress]:
        """Show the progress of a training run for as long as the block lasts."""
        from eseg.cli.training_progress import RichTrainingProgress

        self.close()
        progress = RichTrainingProgress(self._console, steps, done)
        with progress.bar:
            yield progress

    def _draw(self, description: str) -> Progress | None:
        """Show a bar in place of the last one; return None where bars cannot be drawn."""
        self.close()
        terminal = self._console
        if not terminal.is_terminal or terminal.is_dumb_terminal:
            return None
        from rich import progress as bars

        # A new one each time: one that is started again would move the cursor over other lines.
        progress = bars.Progress(
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(bar_width=None),
            bars.MofNCompleteColumn(),
            bars.TimeRemainingColumn(compact=True),
            console=terminal,
            transient=True,
        )
        progress.add_task(description, total=None)
        return self.enter_context(progress)
