"""Verbs that use networks: evaluate, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eseg.choices import EngineName
from eseg.cli import options
from eseg.cli.options import existing, existing_file, path_argument, path_option, writable_folder
from eseg.cli.screen import RichReporter, complain, print_line, print_result

Network = Annotated[
    Path,
    path_argument(
        existing_file,
        help="A checkpoint (best.pt in a run's folder), or what `eseg export` wrote.",
        metavar="CHECKPOINT_OR_EXPORT",
    ),
]


def evaluate(
    checkpoint: Network,
    data: options.Dataset,
    split: options.Split = "val",
    root: options.Root = None,
    scales: options.Scales = None,
    flip: options.Flip = False,
    device: options.Device = None,
    precision: options.Precision = "auto",
    save: Annotated[Path | None, path_option(writable_folder)] = None,
    submission: Annotated[Path | None, path_option(writable_folder, metavar="DIR")] = None,
    as_json: options.Json = False,
) -> None:
    """Measure a network: mIoU, pixel accuracy and IoU per class, at the labels' own size.

    Args:
        save: Folder for the predicted labels as palette PNGs.
        submission: Folder for the files that the test server of cityscapes, ade20k or vistas
            takes; also for splits without masks.
    """
    from eseg.checkpoint import load_checkpoint
    from eseg.inference.evaluate import evaluate as run
    from eseg.reports.score_report import scores_table
    from eseg.runtime.engine_table import format_of, open_engine

    if format_of(checkpoint) is None:
        network = load_checkpoint(checkpoint)
        names = network.classes.names
    else:
        network = open_engine(checkpoint, device=device, precision=precision)
        names = network.info.names
    with RichReporter(err=as_json) as reporter:
        result = run(
            network,
            data,
            split,
            root=root,
            device=device,
            precision=precision,
            scales=tuple(scales or (1.0,)),
            flip=flip,
            save=save,
            submission=submission,
            reporter=reporter,
        ).to_dict()
    about = {"checkpoint": str(checkpoint), "data": str(data), "split": split}
    about |= {"scales": scales or [1.0], "flip": flip, "precision": precision, "classes": names}
    scored = any(result["support"])
    lines = [] if scored else [f"no scores: split '{split}' has no pixel with a label"]
    if submission is not None:
        count = sum(1 for _ in submission.iterdir())
        lines.append(f"{count} files for the test server in {submission}: zip them and upload that")
    tables = [scores_table(names, result)] if scored else []
    print_result(about | result, tables, lines, as_json=as_json)


def predict(
    checkpoint: Network,
    images: Annotated[list[Path], path_argument(existing, metavar="IMAGES...")],
    output: Annotated[Path, path_option(writable_folder)],
    scales: options.Scales = None,
    flip: options.Flip = False,
    device: options.Device = None,
    precision: options.Precision = "auto",
    engine: EngineName | None = None,
) -> None:
    """Label images at their own size: palette PNGs of class ids, and overlays above a legend.

    A file that cannot be read is reported and skipped; the exit code is then 1.

    Args:
        images: Image files, or folders of them.
        output: Folder for labels/ and overlays/.
        engine: torch and compile run checkpoints, the others exported files; by default the first
            that fits the file.
    """
    from eseg.inference.image_files import list_images, predict_files
    from eseg.runtime.predictor import Predictor

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
