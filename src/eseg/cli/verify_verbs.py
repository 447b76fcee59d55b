"""The verb that proves exported files: verify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eseg.cli.options import Dataset, Json, Root, check_target
from eseg.cli.screen import clear_errors, complain, console, print_line, progress_bar

if TYPE_CHECKING:
    from eseg.checkpoint import Checkpoint
    from eseg.config import DataConfig

app = typer.Typer()


@app.command()
def verify(
    file: Annotated[
        Path, typer.Argument(help="What eseg export wrote: .onnx, .xml or .pt2.", metavar="FILE")
    ],
    against: Annotated[
        Path, typer.Option(help="The checkpoint that it was made of.", metavar="CHECKPOINT")
    ],
    data: Dataset,
    split: Annotated[str, typer.Option(help="Split of the data set.")] = "val",
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
        str | None,
        typer.Option(
            help="What runs the file: onnxruntime, openvino or aotinductor; by default the first "
            "that can.",
            metavar="NAME",
        ),
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
    with clear_errors():
        from eseg.checkpoint import load_checkpoint

        checkpoint = load_checkpoint(against)
        compare(
            file,
            checkpoint,
            checkpoint.data_config(data, root),
            output=output,
            as_json=as_json,
            split=split,
            limit=limit,
            agreement=None if tolerance is None else tolerance / 100,
            max_drop=max_drop,
            engine=engine,
            device=device,
        )


def compare(
    file: Path,
    checkpoint: Checkpoint,
    data: DataConfig,
    *,
    output: Path | None = None,
    as_json: bool = False,
    **choices: Any,
) -> None:
    """Verify a file, print the result and draw its worst image; exits with 1 if it does not pass.

    Args:
        file: The exported file.
        checkpoint: What it was made of.
        data: Where the images come from.
        output: The picture to write; beside the file if None.
        as_json: Print JSON instead of a table.
        **choices: Further arguments of `eseg.deploy.verify.verify.verify`.
    """
    from eseg.deploy.verify.verification_report import save_worst_picture, verification_report
    from eseg.deploy.verify.verify import verify as run

    picture = output or file.with_name(f"{file.name}.worst.png")
    if output is not None or file.is_file():  # without a file, the picture is not what is wrong
        check_target("--output", picture, (".png",))
    with progress_bar(err=as_json) as progress:
        result = run(file, checkpoint, data, track=progress.track, **choices)
    if as_json:
        typer.echo(json.dumps(result.to_dict() | {"picture": str(picture)}, indent=2))
    else:
        console.print(verification_report(result), highlight=False)
    save_worst_picture(result, picture)
    if result.failure is not None:
        complain(f"{file}: {result.failure}; see {picture}")
        raise typer.Exit(1)
    if not as_json:
        print_line(f"passed; worst image: {picture}")
