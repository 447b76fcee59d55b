"""Verbs that make networks: train, quickstart."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eseg.cli import options
from eseg.cli.options import default_output, path_option, writable_folder
from eseg.cli.screen import RichReporter, complain, print_line, resumable
from eseg.errors import ConfigError, DataError

if TYPE_CHECKING:
    from eseg.config import DataConfig

AUTOMATIC_UP_TO = 5000
"""Images that are checked unasked: about a minute's work on two cores if they are small."""


@resumable()
def train(
    config: options.RunYaml,
    overrides: options.Overrides = None,
    device: options.Device = None,
    output: options.Output = None,
    resume: Annotated[bool, typer.Option("--resume")] = False,
    check: Annotated[bool | None, typer.Option(show_default=False)] = None,
) -> None:
    """Train a network; leaves checkpoints, logs, a curve and pictures in the output folder.

    By default that is runs/NAME, NAME being the config's. Several processes:
    [bold]torchrun --nproc-per-node 4 -m eseg train CONFIG[/bold].

    Args:
        resume: Go on from the last checkpoint in the output folder; start if there is none yet.
        check: Let the doctor read all images and masks first, and stop if there are errors; by
            default a new run in one process does so for up to 5,000 images.
    """
    from eseg.config import load_config
    from eseg.training.trainer import train as run

    folder = output or default_output(config)
    settings = load_config(config, overrides or ())
    if check or (check is None and not resume):
        _check_data(settings.data, asked=check is not None)
    with RichReporter() as reporter:
        run(settings, folder, device=device, resume=resume, reporter=reporter)


def quickstart(
    output: Annotated[Path, path_option(writable_folder)] = Path("runs/quickstart"),
    device: options.Device = None,
) -> None:
    """Train a small network on procedural street scenes, measure it and label unseen scenes.

    Needs no data and about five minutes on two CPU cores. The run's YAML is left in the output
    folder: change it and go on with [bold]eseg train[/bold].

    Args:
        output: Folder for everything that is written.
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


def _check_data(data: DataConfig, *, asked: bool) -> None:
    """Examine the files of a run; print warnings and errors, and raise `DataError` after errors.

    Unless the user asked for it, one of several processes and more than `AUTOMATIC_UP_TO` images
    are not examined.
    """
    from eseg.config import has_files, load_dataset
    from eseg.data.folder import list_split
    from eseg.doctor import examine

    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if asked and not alone:
        raise ConfigError("--check is for one process; run `eseg doctor` once, before torchrun")
    if not has_files(data) or not alone:
        return
    described = load_dataset(data.dataset, data.root)
    used = {
        split: described.splits[split]
        for split in (data.train_split, data.val_split)
        if split in described.splits
    }
    described = dataclasses.replace(described, splits=used)
    count = sum(len(list_split(described, split)) for split in used)
    if count > AUTOMATIC_UP_TO and not asked:
        print_line(f"{count} images, not checked beforehand: --check, or eseg doctor, does that")
        return
    with RichReporter() as reporter:
        diagnosis = examine(described, reporter=reporter)
    for finding in diagnosis.findings:
        if finding.severity != "note":
            text = f"{finding.kind} ({len(finding.files)} files): {finding.message}"
            complain(text, finding.severity)
    if diagnosis.has_errors:
        raise DataError(
            f"the data has errors, above; `eseg doctor {data.dataset}` shows them all and writes a "
            "data set without them. --no-check trains all the same, until a broken file comes up"
        )
    print_line(f"checked {diagnosis.readings.pairs} images and masks")
