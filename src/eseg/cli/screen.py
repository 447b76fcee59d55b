"""What every verb shares: the console, progress, and errors as one clear line."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from eseg.errors import EsegError, LostProcessError

console = Console()

_REPEATED, _SECOND_HAND = 3, 6
"""Seconds until an error is printed that the first process on a machine may have too, and one that
only says that another process failed: meanwhile torchrun ends those who have nothing new to say."""
_GO_ON = "The same command (eseg train: with --resume) goes on"


@contextmanager
def clear_errors(*, resumable: bool = False) -> Iterator[None]:
    """Print what a person can mend as one line and exit with 2; let everything else be a bug.

    Args:
        resumable: Whether interrupted work goes on where it was.
    """
    try:
        yield
    except LostProcessError as error:
        _fail(str(error), 2, second_hand=True)
    except EsegError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        if os.environ.get("LOCAL_RANK", "0") != "0":  # the first process says so
            raise typer.Exit(130) from None
        _fail(f"interrupted. {_GO_ON}" if resumable else "interrupted", 130)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's: it is not imported to ask
            raise
        _fail(
            "the device is out of memory; lower train.batch_size, raise train.accumulate, or take "
            f"smaller crops or images ({str(error).splitlines()[0]})",
            2,
        )


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Say how to go on when torchrun or a scheduler ends the work, once per machine."""

    def end(number: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    if os.environ.get("LOCAL_RANK", "0") != "0":
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except SystemExit as error:
        if error.code == 128 + signal.SIGTERM:
            complain(
                "ended from outside (SIGTERM): by torchrun where another process of the run has "
                f"ended, which its summary names; by a scheduler when the time is up. {_GO_ON}"
            )
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(message: str, code: int, *, second_hand: bool = False) -> NoReturn:
    """Print an error and exit; of several processes only those with something to say get to it.

    Args:
        message: The error.
        code: The exit code.
        second_hand: Whether the error is another process's, which prints it better itself.
    """
    if second_hand:
        time.sleep(_SECOND_HAND)
    elif os.environ.get("LOCAL_RANK", "0") != "0":
        time.sleep(_REPEATED)
    complain(message)
    raise typer.Exit(code) from None


def complain(message: str) -> None:
    """Print one error line on standard error, whole: a path broken in two cannot be copied."""
    _complain("error:", "bold red", message)


def warn(message: str) -> None:
    """Print one warning line on standard error."""
    _complain("warning:", "bold yellow", message)


def _complain(word: str, style: str, message: str) -> None:
    line = Text.assemble((word, style), f" {message}")
    Console(stderr=True).print(line, soft_wrap=True)


def print_line(line: str) -> None:
    """Print a line as it is, whole: brackets and colons in paths and names are no markup."""
    console.print(Text(line), soft_wrap=True)


def progress_bar(err: bool = False) -> Progress:
    """A bar for work of known length; on standard error where standard output is for JSON."""
    target = Console(stderr=True) if err else console
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        console=target,
        transient=True,
        disable=not target.is_terminal,
    )
