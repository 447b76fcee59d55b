"""Verbs that make networks: train, quickstart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eseg.cli.data_check import check_data
from eseg.cli.options import Device, Output, default_output
from eseg.cli.screen import clear_errors, console, ended_by_sigterm, print_line

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
    with ended_by_sigterm(), clear_errors(resumable=True):
        from eseg.cli.training_progress import TrainingReporter
        from eseg.config import load_config
        from eseg.training.trainer import train as run

        folder = output or default_output(config)
        settings = load_config(config, overrides or ())
        if check or (check is None and not resume):
            check_data(settings.data, asked=check is not None)
        run(settings, folder, device=device, resume=resume, reporter=TrainingReporter(console))


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
        from eseg.cli.training_progress import TrainingReporter
        from eseg.quickstart import run_quickstart

        found = run_quickstart(output, device=device, reporter=TrainingReporter(console))
        console.print(
            f"\nmIoU on {found.scenes} unseen scenes: [bold]{found.miou:.3f}[/bold]",
            highlight=False,
        )
        print_line(
            f"  look at     {output / 'sheet.png'}, {output / 'curve.png'}, {found.overlays}\n"
            f"  predict     eseg predict {found.checkpoint} YOUR_IMAGES --output out\n"
            "  own data    configs/own_data and docs/data.md in the repository say how"
        )
