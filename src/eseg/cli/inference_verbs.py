"""Verbs that use networks: evaluate, predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from eseg.cli.options import CheckpointFile, Dataset, Device, Flip, Json, Precision, Root, Scales
from eseg.cli.screen import clear_errors, complain, print_line, progress_bar

app = typer.Typer()


@app.command()
def evaluate(
    checkpoint: CheckpointFile,
    data: Dataset,
    split: Annotated[str, typer.Option(help="Split of the data set.")] = "val",
    root: Root = None,
    scales: Scales = None,
    flip: Flip = False,
    device: Device = None,
    precision: Precision = "auto",
    save: Annotated[
        Path | None, typer.Option(help="Folder for the predicted labels as palette PNGs.")
    ] = None,
    submission: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the files that the test server of cityscapes, ade20k or vistas "
            "takes; also for splits without masks.",
            metavar="DIR",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a checkpoint: mIoU, pixel accuracy and IoU per class, at the labels' own size."""
    with clear_errors():
        from eseg.checkpoint import load_checkpoint
        from eseg.devices import choose_device, choose_precision
        from eseg.inference.evaluate import evaluate_checkpoint
        from eseg.reports.score_report import scores_table

        loaded = load_checkpoint(checkpoint)
        dataset = loaded.data_config(data, root)
        arithmetic = choose_precision(precision)
        with progress_bar(err=as_json) as progress:
            result = evaluate_checkpoint(
                loaded,
                dataset,
                split,
                device=choose_device(device),
                precision=arithmetic,
                scales=tuple(scales or (1.0,)),
                flip=flip,
                save=save,
                submission=submission,
                track=progress.track,
            ).to_dict()
        if as_json:
            about = {"checkpoint": str(checkpoint), "data": str(data), "split": split}
            about |= {"scales": scales or [1.0], "flip": flip, "precision": arithmetic}
            about |= {"classes": loaded.classes.names}
            typer.echo(json.dumps(about | result, indent=2))
        elif any(result["support"]):
            print_line(scores_table(loaded.classes, result).to_markdown())
        else:
            print_line(f"no scores: split '{split}' has no pixel with a label")
        if submission is not None and not as_json:
            count = sum(1 for _ in submission.iterdir())
            print_line(
                f"{count} files for the test server in {submission}: zip them and upload that"
            )


@app.command()
def predict(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="A checkpoint (best.pt in a run's folder), or what `eseg export` wrote.",
            metavar="CHECKPOINT_OR_EXPORT",
        ),
    ],
    images: Annotated[
        list[Path], typer.Argument(help="Image files, or folders of them.", metavar="IMAGES...")
    ],
    output: Annotated[Path, typer.Option(help="Folder for labels/ and overlays/.")],
    scales: Scales = None,
    flip: Flip = False,
    device: Device = None,
    precision: Precision = "auto",
    engine: Annotated[
        str | None,
        typer.Option(
            help="torch or compile for checkpoints; onnxruntime, openvino or aotinductor for "
            "exported files; by default what fits the file.",
            metavar="NAME",
        ),
    ] = None,
) -> None:
    """Label images at their own size: palette PNGs of class ids, and overlays above a legend.

    A file that cannot be read is reported and skipped; the exit code is then 1.
    """
    with clear_errors():
        from eseg.devices import choose_precision
        from eseg.inference.image_files import list_images, predict_files
        from eseg.runtime.predictor import Predictor

        found = list_images(images, output)
        predictor = Predictor(
            checkpoint,
            device=device,
            precision=choose_precision(precision),
            engine=engine,
            scales=scales or (1.0,),
            flip=flip,
        )
        with progress_bar() as progress:
            outcomes = list(
                progress.track(
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
