"""What every verb shares: the console, progress, and errors as one clear line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console()


@contextmanager
def clear_errors() -> Iterator[None]:
    """Print what a person can mend as one line and exit with 2; let everything else be a bug."""
    import torch

    from eseg.checkpoint import CheckpointError
    from eseg.config import ConfigError
    from eseg.data.dataset import DataError
    from eseg.devices import DeviceError
    from eseg.models import BackboneError
    from eseg.training.step import TrainingError

    expected = (CheckpointError, ConfigError, DataError, DeviceError, BackboneError, TrainingError)
    try:
        yield
    except expected as error:
        complain(str(error))
        raise typer.Exit(2) from None
    except torch.OutOfMemoryError as error:
        complain(
            "the device is out of memory; lower train.batch_size, raise train.accumulate, or take "
            f"smaller crops or images ({str(error).splitlines()[0]})"
        )
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        complain("interrupted")
        raise typer.Exit(130) from None


def complain(message: str) -> None:
    """Print one error line on standard error."""
    Console(stderr=True).print(f"[bold red]error:[/] {escape(message)}", highlight=False)


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
