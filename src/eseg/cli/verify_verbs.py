"""Verb that compares exported files with their checkpoints: verify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eseg.choices import ExportEngine
from eseg.cli.options import Dataset, Json, Root, Split, checked, existing_file, writable_file
from eseg.cli.screen import RichReporter, complain, print_line, print_table

if TYPE_CHECKING:
    from eseg.checkpoint import Checkpoint
    from eseg.config import DataConfig

_check_picture = writable_file(".png")


def verify(
    file: Annotated[
        Path,
        typer.Argument(
            callback=checked(existing_file),
            help="What eseg export wrote: .onnx, .xml or .pt2.",
            metavar="FILE",
        ),
    ],
    against: Annotated[
        Path,
        typer.Option(
            callback=checked(existing_file),
            help="The checkpoint that it was made of.",
            metavar="CHECKPOINT",
        ),
    ],
    data: Dataset,
    split: Split = "val",
    root: Root = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="Images to compare, spread evenly over the split; all by default."
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            help="Per cent of the labels that must be equal; by default 99.9 for files in fp32, "
            "99.5 in fp16 and 98.5 in int8.",
            metavar="PERCENT",
        ),
    ] = None,
    max_drop: Annotated[
        float, typer.Option(help="Points of mIoU, of 100, that may be lost.", metavar="POINTS")
    ] = 0.3,
    engine: Annotated[
        ExportEngine | None,
        typer.Option(help="Engine that runs the file; by default the first that can."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Where the file runs; by default the CPU, or what it was compiled for.",
            metavar="NAME",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            callback=checked(_check_picture),
            help="Picture of the image that differs most; by default FILE.worst.png.",
            metavar="PNG",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare an exported file with its checkpoint on real images; exit code 1 if they differ.

    The checkpoint runs in torch, on the CPU in fp32. If the file takes one size only, both get
    images resized to it.
    """
    picture = output or default_picture(file)
    from eseg.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(against)
    compare(
        file,
        checkpoint,
        checkpoint.data_config(data, root),
        picture,
        as_json=as_json,
        split=split,
        limit=limit,
        agreement=None if tolerance is None else tolerance / 100,
        max_drop=max_drop,
        engine=engine,
        device=device,
    )


def default_picture(file: Path) -> Path:
    """Return the name of the picture beside an exported file; raise if it cannot be written."""
    picture = file.with_name(f"{file.name}.worst.png")
    _check_picture(picture, "output")
    return picture


def compare(
    file: Path,
    checkpoint: Checkpoint,
    data: DataConfig,
    picture: Path,
    *,
    as_json: bool = False,
    **choices: Any,
) -> None:
    """Verify a file, print the result and draw its worst image; exit with 1 if it does not pass.

    Args:
        file: The exported file.
        checkpoint: The network that it was made of.
        data: Data set of the images.
        picture: The picture to write.
        as_json: If True, print JSON instead of a table.
        **choices: Further arguments of `eseg.deploy.verify.verify.verify`.
    """
    from eseg.deploy.verify.verification_report import (
        verification_notes,
        verification_table,
        worst_picture,
    )
    from eseg.deploy.verify.verify import verify as run
    from eseg.reports.picture_sheet import save_picture

    with RichReporter(err=as_json) as reporter:
        result = run(file, checkpoint, data, reporter=reporter, **choices)
    if as_json:
        typer.echo(json.dumps(result.to_dict() | {"picture": str(picture)}, indent=2))
    else:
        print_table(verification_table(result))
        for note in verification_notes(result):
            print_line(note)
    save_picture(worst_picture(result), picture)
    if result.failure is not None:
        complain(f"{file}: {result.failure}; see {picture}")
        raise typer.Exit(1)
    if not as_json:
        print_line(f"passed; worst image: {picture}")
