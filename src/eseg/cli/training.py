"""Verbs that make networks: train, quickstart."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from eseg.cli.options import Device, Output
from eseg.cli.screen import clear_errors, complain, console

app = typer.Typer()


@app.command()
def train(
    config: Annotated[
        Path, typer.Argument(help="YAML of the run, such as configs/camvid/cpu_1h.yaml.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Values to change, such as optim.lr=0.02 data.root=/data/cityscapes.",
            metavar="[SECTION.KEY=VALUE]...",
        ),
    ] = None,
    device: Device = None,
    output: Output = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on from the last checkpoint in the output folder; start if there is none yet.",
        ),
    ] = False,
) -> None:
    """Train a network; leaves checkpoints, logs, a curve and pictures in the output folder.

    By default that is runs/NAME, NAME being the config's. Several processes:
    [bold]torchrun --nproc-per-node 4 -m eseg train CONFIG[/bold].
    """
    with _ended_by_sigterm(), clear_errors():
        from eseg.config import load_config
        from eseg.training.trainer import train as run

        folder = output or Path("runs") / f"{config.parent.name}_{config.stem}".lstrip("_")
        run(load_config(config, overrides or ()), folder, device=device, resume=resume)


@app.command()
def quickstart(
    output: Annotated[Path, typer.Option(help="Folder for everything that is written.")] = Path(
        "runs/quickstart"
    ),
    device: Device = None,
) -> None:
    """Train a small network on procedural street scenes, measure it and label unseen scenes.

    Needs no data and about five minutes on two CPU cores. The run's YAML is left in the output
    folder: change it and go on with [bold]eseg train[/bold].
    """
    with clear_errors():
        from eseg.quickstart import run_quickstart

        run_quickstart(output, device, console)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Say how to go on when torchrun or a scheduler ends the run, once per machine."""

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
                "ended, which its summary names; by a scheduler when the time is up. --resume "
                "goes on from the last checkpoint"
            )
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
