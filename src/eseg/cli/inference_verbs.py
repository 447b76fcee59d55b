"""Verbs that use networks: evaluate, predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from eseg.choices import AnyEngine
from eseg.cli.options import (
    CheckpointFile,
    Dataset,
    Device,
    Flip,
    Json,
    Precision,
    Root,
    Scales,
    Split,
    checked,
    existing,
    existing_file,
    writable_folder,
)
from eseg.cli.screen import RichReporter, complain, console, print_line


def evaluate(
    checkpoint: CheckpointFile,
    data: Dataset,
    split: Split = "val",
    root: Root = None,
    scales: Scales = None,
    flip: Flip = False,
    device: Device = None,
    precision: Precision = "auto",
    save: Annotated[
        Path | None,
        typer.Option(
            callback=checked(writable_folder),
            help="Folder for the predicted labels as palette PNGs.",
        ),
    ] = None,
    submission: Annotated[
        Path | None,
        typer.Option(
            callback=checked(writable_folder),
            help="Folder for the files that the test server of cityscapes, ade20k or vistas "
            "takes; also for splits without masks.",
            metavar="DIR",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a checkpoint: mIoU, pixel accuracy and IoU per class, at the labels' own size."""
    from eseg.checkpoint import load_checkpoint
    from eseg.devices import choose_device
    from eseg.inference.evaluate import evaluate_checkpoint
    from eseg.reports.score_report import scores_table

    loaded = load_checkpoint(checkpoint)
    with RichReporter(err=as_json) as reporter:
        result = evaluate_checkpoint(
            loaded,
            loaded.data_config(data, root),
            split,
            device=choose_device(device),
            precision=precision,
            scales=tuple(scales or (1.0,)),
            flip=flip,
            save=save,
            submission=submission,
            track=reporter.track,  # pyright: ignore[reportArgumentType]
        ).to_dict()
    if as_json:
        about = {"checkpoint": str(checkpoint), "data": str(data), "split": split}
        about |= {"scales": scales or [1.0], "flip": flip, "precision": precision}
        about |= {"classes": loaded.classes.names}
        typer.echo(json.dumps(about | result, indent=2))
        return
    if any(result["support"]):
        console.print(scores_table(loaded.classes, result))
    else:
        print_line(f"no scores: split '{split}' has no pixel with a label")
    if submission is not None:
        count = sum(1 for _ in submission.iterdir())
        print_line(f"{count} files for the test server in {submission}: zip them and upload that")


def predict(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            callback=checked(existing_file),
            help="A checkpoint (best.pt in a run's folder), or what `eseg export` wrote.",
            metavar="CHECKPOINT_OR_EXPORT",
        ),
    ],
    images: Annotated[
        list[Path],
        typer.Argument(
            callback=checked(existing),
            help="Image files, or folders of them.",
            metavar="IMAGES...",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(callback=checked(writable_folder), help="Folder for labels/ and overlays/."),
    ],
    scales: Scales = None,
    flip: Flip = False,
    device: Device = None,
    precision: Precision = "auto",
    engine: Annotated[
        AnyEngine | None,
        typer.Option(
            help="torch and compile run checkpoints, the others exported files; by default the "
            "first that fits the file.",
        ),
    ] = None,
) -> None:
    """Label images at their own size: palette PNGs of class ids, and overlays above a legend.

    A file that cannot be read is reported and skipped; the exit code is then 1.
    """
    from eseg.inference.image_files import list_images, predict_files
    from eseg.inference.predictor import Predictor

    found = list_images(images, output)
    predictor = Predictor(
        checkpoint,
        device=device,
        precision=precision,
        engine=engine,
        scales=scales or (1.0,),
        flip=flip,
    )
    with RichReporter() as reporter:
        outcomes = list(
            reporter.track(
                predict_files(predictor, found, output), total=len(found), description="images"
            )
        )
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    for outcome in failed:
        complain(f"skipped: {outcome.error}")
    print_line(
        f"{len(outcomes) - len(failed)} of {len(outcomes)} images labelled: "
        f"{output / 'labels'} (class ids), {output / 'overlays'} (pictures)"
    )
    if failed:
        raise typer.Exit(1)
