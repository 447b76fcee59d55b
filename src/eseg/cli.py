"""The command line: one function per verb. Heavy imports stay inside, so that --help is quick."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eseg import __version__

if TYPE_CHECKING:
    from eseg.checkpoint import Checkpoint
    from eseg.data.streets import StreetsConfig

app = typer.Typer(
    name="eseg",
    help="Semantic segmentation: train on your images, measure, predict.\n\n"
    "Start with [bold]eseg quickstart[/bold]; it needs no data and takes minutes on a CPU.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
console = Console()


Device = Annotated[
    str | None,
    typer.Option(help="cuda, cuda:1, mps or cpu; by default the fastest there is.", metavar="NAME"),
]
Output = Annotated[Path | None, typer.Option(help="Folder for everything that is written.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
CheckpointFile = Annotated[
    Path, typer.Argument(help="A checkpoint: best.pt in a run's folder.", metavar="CHECKPOINT")
]
Scales = Annotated[
    list[float] | None,
    typer.Option(
        "--scales",
        min=0.01,
        max=100,
        help="Factors of the image size to run at and average, such as 0.5 1.0 2.0.",
        metavar="FACTOR...",
    ),
]
PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision",
        help="fp32, bf16 or fp16; auto is bf16 on GPUs that have it and fp32 elsewhere.",
        metavar="NAME",
    ),
]
Flip = Annotated[bool, typer.Option("--flip", help="Average with the mirror image too.")]


@app.command()
def train(
    config: Annotated[
        Path, typer.Argument(help="YAML of the run, such as configs/camvid/cpu_1h.yaml.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Values to change, such as optim.lr=0.02 data.root=/data/camvid.",
            metavar="[SECTION.KEY=VALUE]...",
        ),
    ] = None,
    device: Device = None,
    output: Output = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from last.pt in the output folder.")
    ] = False,
) -> None:
    """Train a network; leaves checkpoints, logs, a curve and pictures in the output folder.

    By default that is runs/NAME, NAME being the config's. Several processes:
    [bold]torchrun --nproc-per-node 4 -m eseg train CONFIG[/bold].
    """
    with _clear_errors():
        from eseg.config import load_config
        from eseg.training.trainer import train as run

        folder = output or Path("runs") / f"{config.parent.name}_{config.stem}".lstrip("_")
        run(load_config(config, overrides or ()), folder, device=device, resume=resume)


@app.command()
def evaluate(
    checkpoint: CheckpointFile,
    data: Annotated[Path, typer.Option(help="Data set YAML, or 'streets'.", metavar="DATASET")],
    split: Annotated[str, typer.Option(help="Split of the data set.")] = "val",
    root: Annotated[
        Path | None, typer.Option(help="Where the data lies, instead of the YAML's root.")
    ] = None,
    scales: Scales = None,
    flip: Flip = False,
    device: Device = None,
    precision: PrecisionOption = "auto",
    save: Annotated[
        Path | None, typer.Option(help="Folder for the predicted labels as palette PNGs.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a checkpoint: mIoU, pixel accuracy and IoU per class, at the labels' own size."""
    with _clear_errors():
        from eseg.checkpoint import load_checkpoint
        from eseg.config import DataConfig
        from eseg.devices import choose_device, choose_precision
        from eseg.inference.evaluate import evaluate_checkpoint
        from eseg.inference.report import scores_table

        loaded = load_checkpoint(checkpoint)
        dataset = DataConfig(dataset=data, root=root, streets=_streets_of(loaded))
        arithmetic = choose_precision(precision)
        with _progress_bar(err=as_json) as progress:
            result = evaluate_checkpoint(
                loaded,
                dataset,
                split,
                device=choose_device(device),
                precision=arithmetic,
                scales=tuple(scales or (1.0,)),
                flip=flip,
                save=save,
                track=progress.track,
            ).to_dict()
        if as_json:
            about = {"checkpoint": str(checkpoint), "data": str(data), "split": split}
            about |= {"scales": scales or [1.0], "flip": flip, "precision": arithmetic}
            about |= {"classes": loaded.classes.names}
            typer.echo(json.dumps(about | result, indent=2))
        else:
            console.print(scores_table(loaded.classes, result))


@app.command()
def predict(
    checkpoint: CheckpointFile,
    images: Annotated[
        list[Path], typer.Argument(help="Image files, or folders of them.", metavar="IMAGES...")
    ],
    output: Annotated[Path, typer.Option(help="Folder for labels/ and overlays/.")],
    scales: Scales = None,
    flip: Flip = False,
    device: Device = None,
    precision: PrecisionOption = "auto",
) -> None:
    """Label images at their own size: palette PNGs of class ids, and overlays above a legend.

    A file that cannot be read is reported and skipped; the exit code is then 1.
    """
    with _clear_errors():
        from eseg.devices import choose_precision
        from eseg.inference.folder import list_images, predict_files
        from eseg.inference.predictor import Predictor

        found = list_images(images, output)
        predictor = Predictor(
            checkpoint,
            device=device,
            precision=choose_precision(precision),
            scales=scales or (1.0,),
            flip=flip,
            with_confidence=False,
        )
        with _progress_bar() as progress:
            outcomes = list(
                progress.track(
                    predict_files(predictor, found, output), total=len(found), description="images"
                )
            )
        failed = [outcome for outcome in outcomes if outcome.error is not None]
        for outcome in failed:
            _complain(f"skipped: {outcome.error}")
        console.print(
            f"{len(outcomes) - len(failed)} of {len(outcomes)} images labelled: "
            f"{output / 'labels'} (class ids), {output / 'overlays'} (pictures)",
            highlight=False,
        )
        if failed:
            raise typer.Exit(1)


@app.command()
def models(
    size: Annotated[
        str, typer.Option(help="Image size to count at.", metavar="HEIGHTxWIDTH")
    ] = "1024x2048",
    as_json: Json = False,
) -> None:
    """List the presets with their parameters and multiply-accumulates beside the paper's."""
    with _clear_errors():
        from eseg.deploy.profile import PAPER, PAPER_SIZE, profile_presets, profile_table

        pixels = _parse_size(size)
        profiles = profile_presets(pixels)
        if as_json:
            rows = {
                name: {
                    "parameters": profile.parameters,
                    "macs": profile.macs,
                    "paper_parameters": PAPER[name].parameters,
                    "paper_macs": PAPER[name].macs if pixels == PAPER_SIZE else None,
                }
                for name, profile in profiles.items()
            }
            typer.echo(json.dumps({"size": pixels, "models": rows}, indent=2))
            return
        console.print(profile_table(profiles, pixels))


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
    with _clear_errors():
        from eseg.quickstart import run_quickstart

        run_quickstart(output, device, console)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


@contextmanager
def _clear_errors() -> Iterator[None]:
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
        _complain(str(error))
        raise typer.Exit(2) from None
    except torch.OutOfMemoryError as error:
        _complain(
            "the device is out of memory; lower train.batch_size, raise train.accumulate, or take "
            f"smaller crops or images ({str(error).splitlines()[0]})"
        )
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        _complain("interrupted")
        raise typer.Exit(130) from None


def _complain(message: str) -> None:
    Console(stderr=True).print(f"[bold red]error:[/] {escape(message)}", highlight=False)


def _progress_bar(err: bool = False) -> Progress:
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


def _streets_of(checkpoint: Checkpoint) -> StreetsConfig:
    """The scenes that a checkpoint was trained on, so that its `val` split is the same one."""
    from eseg.config import parse_streets_config

    return parse_streets_config(checkpoint.run.get("data", {}).get("streets", {}))


def _parse_size(text: str) -> tuple[int, int]:
    from eseg.config import ConfigError

    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None or min(int(match[1]), int(match[2])) < 1:
        raise ConfigError(f"--size {text!r} is not HEIGHTxWIDTH in pixels, such as 1024x2048")
    return int(match[1]), int(match[2])


def spell_out_scales(words: list[str]) -> list[str]:
    """Write `--scales 0.5 1` as `--scales 0.5 --scales 1`, the form that Typer knows."""
    spelt_out: list[str] = []
    for word in words:
        *_, before, last = "", "", *spelt_out
        follows = before == "--scales" or last.startswith("--scales=")
        if follows and re.fullmatch(r"\d+\.?|\d*\.\d+", word):
            spelt_out.append("--scales")
        spelt_out.append(word)
    return spelt_out


def main() -> None:
    """Entry point of `eseg` and `python -m eseg`."""
    app(args=spell_out_scales(sys.argv[1:]))
