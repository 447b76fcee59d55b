"""What every verb shares: the console, progress, and errors as one clear line."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console()

_HEAD_START = 3
"""Seconds that the first process on a machine has to fail: then torchrun ends the others."""


@contextmanager
def clear_errors() -> Iterator[None]:
    """Print what a person can mend as one line and exit with 2; let everything else be a bug."""
    import torch

    from eseg.checkpoint import CheckpointError
    from eseg.config import ConfigError
    from eseg.data.dataset import DataError
    from eseg.deploy.errors import ExportError
    from eseg.deploy.processes import ProcessError
    from eseg.deploy.stages import BenchmarkError
    from eseg.devices import DeviceError
    from eseg.models import BackboneError
    from eseg.runtime.images import ImageError
    from eseg.runtime.metadata import RuntimeFileError
    from eseg.runtime.sessions import EngineError
    from eseg.training.step import TrainingError

    expected = (CheckpointError, ConfigError, DataError, DeviceError, BackboneError, TrainingError)
    expected += (BenchmarkError, EngineError, ExportError, ImageError, ProcessError)
    expected += (RuntimeFileError,)
    try:
        yield
    except expected as error:
        _fail(str(error), 2)
    except torch.OutOfMemoryError as error:
        _fail(
            "the device is out of memory; lower train.batch_size, raise train.accumulate, or take "
            f"smaller crops or images ({str(error).splitlines()[0]})",
            2,
        )
    except KeyboardInterrupt:
        _fail("interrupted", 130)


def _fail(message: str, code: int) -> NoReturn:
    """Print an error and exit; of several processes with the same error, only the first prints."""
    if os.environ.get("LOCAL_RANK", "0") != "0":
        time.sleep(_HEAD_START)
    complain(message)
    raise typer.Exit(code) from None


def complain(message: str) -> None:
    """Print one error line on standard error, whole: a path broken in two cannot be copied."""
    text = f"[bold red]error:[/] {escape(message)}"
    Console(stderr=True).print(text, highlight=False, soft_wrap=True)


def progress_bar(err: bool = False) -> Progress:
    """A bar for work of known length; on standard error where standard output is for JSON."""
    target = Console(stderr=True) if err else console
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        console=target,
        transient=True,
        disable=not target.is_terminal,
    )
