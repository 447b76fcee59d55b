"""Verbs that make networks: train, quickstart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eseg.cli.data_check import check_data
from eseg.cli.options import (
    Device,
    Output,
    Overrides,
    RunYaml,
    checked,
    default_output,
    writable_folder,
)
from eseg.cli.screen import RichReporter, print_line, resumable


@resumable()
def train(
    config: RunYaml,
    overrides: Overrides = None,
    device: Device = None,
    output: Output = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on from the last checkpoint in the output folder; start if there is none yet.",
        ),
    ] = False,
    check: Annotated[
        bool | None,
        typer.Option(
            "--check/--no-check",
            help="Let the doctor read all images and masks first, and stop if there are errors; by "
            "default a new run in one process does so for up to 5,000 images.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train a network; leaves checkpoints, logs, a curve and pictures in the output folder.

    By default that is runs/NAME, NAME being the config's. Several processes:
    [bold]torchrun --nproc-per-node 4 -m eseg train CONFIG[/bold].
    """
    from eseg.config import load_config
    from eseg.training.trainer import train as run

    folder = output or default_output(config)
    settings = load_config(config, overrides or ())
    if check or (check is None and not resume):
        check_data(settings.data, asked=check is not None)
    with RichReporter() as reporter:
        run(settings, folder, device=device, resume=resume, reporter=reporter)


def quickstart(
    output: Annotated[
        Path,
        typer.Option(
            callback=checked(writable_folder), help="Folder for everything that is written."
        ),
    ] = Path("runs/quickstart"),
    device: Device = None,
) -> None:
    """Train a small network on procedural street scenes, measure it and label unseen scenes.

    Needs no data and about five minutes on two CPU cores. The run's YAML is left in the output
    folder: change it and go on with [bold]eseg train[/bold].
    """
    from eseg.quickstart import run_quickstart

    with RichReporter() as reporter:
        found = run_quickstart(output, device=device, reporter=reporter)
    print_line(
        f"\nmIoU on {found.scenes} unseen scenes: {found.miou:.3f}\n"
        f"  look at     {output / 'sheet.png'}, {output / 'curve.png'}, {found.overlays}\n"
        f"  predict     eseg predict {found.checkpoint} YOUR_IMAGES --output out\n"
        "  own data    configs/own_data and docs/data.md in the repository say how"
    )
