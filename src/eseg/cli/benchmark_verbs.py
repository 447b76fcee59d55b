"""Verbs that time networks on this machine: benchmark, choose."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from eseg.cli.options import Device, Json, Precision, check_target, parse_size
from eseg.cli.screen import clear_errors, console, print_line, progress_bar, warn

if TYPE_CHECKING:
    from eseg.deploy.benchmark.benchmark import Track

app = typer.Typer()

Engines = Annotated[
    list[str] | None,
    typer.Option(
        "--engine",
        help="torch, compile, onnxruntime, openvino or aotinductor; repeat it for several. By "
        "default those that are installed, have the precision and need no compiler.",
        metavar="NAME",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads of the CPU; by default one per core.", metavar="COUNT"),
]
Rounds = Annotated[int, typer.Option(min=2, help="Images timed of each.", metavar="COUNT")]


@app.command()
def benchmark(
    subjects: Annotated[
        list[str],
        typer.Argument(
            help="Checkpoints, exported files and presets (with random weights).",
            metavar="SUBJECT...",
        ),
    ],
    size: Annotated[
        str | None,
        typer.Option(
            help="Image size; by default that of --image or of a file for one size, or 1024x2048.",
            metavar="HEIGHTxWIDTH",
        ),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(
            help="Picture to label; repeat it for several. By default a street scene is drawn.",
            metavar="FILE",
        ),
    ] = None,
    engine: Engines = None,
    device: Device = None,
    precision: Precision = "auto",
    threads: Threads = None,
    rounds: Rounds = 20,
    as_json: Json = False,
    plot: Annotated[
        Path | None, typer.Option(help="Picture of the stages to write.", metavar="PNG|SVG")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="JSON file to write.", metavar="FILE.json")
    ] = None,
) -> None:
    """Time networks from image to labels, stage by stage, beside each other in one run.

    Each runs on every engine that is installed and fits; checkpoints are exported for it on the
    fly. All take turns in shuffled rounds, each in a process of its own; ratios are to the first.
    """
    with clear_errors():
        from eseg.data.cores import physical_cores
        from eseg.deploy.benchmark import benchmark_report as report
        from eseg.deploy.benchmark.benchmark import benchmark as run
        from eseg.deploy.benchmark.subjects import find_subjects
        from eseg.deploy.benchmark.timed_picture import check_pictures

        if plot is not None:
            check_target("--plot", plot, (".png", ".svg"))
        if output is not None:
            check_target("--output", output, (".json",))
        pixels = None if size is None else parse_size(size)
        check_pictures(image or (), pixels)
        with TemporaryDirectory() as folder, _progress(as_json) as (say, track):
            found = find_subjects(
                subjects,
                Path(folder),
                engines=engine or (),
                device=device,
                precision=precision,
                threads=threads or physical_cores(),
                say=say,
            )
            result = run(
                found, size=pixels, images=image or (), rounds=rounds, track=track, say=say
            )
        text = json.dumps(report.benchmark_dict(result), indent=2)
        if output is not None:
            output.write_text(text + "\n", encoding="utf-8")
        if plot is not None:
            report.save_benchmark_plot(result, plot)
        if as_json:
            typer.echo(text)
        else:
            for table in report.benchmark_tables(result):
                console.print(table)
            for note in report.benchmark_notes(result):
                print_line(note)
        for warning in report.benchmark_warnings(result):
            warn(warning)


@app.command()
def choose(
    fps: Annotated[float, typer.Option(help="Images per second that have to be held.")],
    size: Annotated[str, typer.Option(help="Image size.", metavar="HEIGHTxWIDTH")] = "1024x2048",
    engine: Annotated[
        str | None,
        typer.Option(
            help="torch, compile, onnxruntime, openvino or aotinductor; by default the fastest of "
            "those that are installed and need no compiler.",
            metavar="NAME",
        ),
    ] = None,
    family: Annotated[
        str, typer.Option(help="lite, full, or all presets.", metavar="NAME")
    ] = "all",
    device: Device = None,
    precision: Precision = "auto",
    threads: Threads = None,
    rounds: Rounds = 20,
    as_json: Json = False,
) -> None:
    """Time the presets here and name the most accurate that holds a rate of images.

    Accuracy is the paper's mIoU on Cityscapes. A rate is held if 95 % of the images take no longer
    than it allows, from a uint8 image in memory to uint8 labels. If none holds it the exit code is
    1, and a smaller size is looked for.
    """
    with clear_errors():
        from eseg.data.cores import physical_cores
        from eseg.deploy.benchmark import choose_report as report
        from eseg.deploy.benchmark.choose import choose as run

        pixels = parse_size(size)
        with _progress(as_json) as (say, track):
            choice = run(
                fps,
                pixels,
                engine=engine,
                family=family,
                device=device,
                precision=precision,
                threads=threads or physical_cores(),
                rounds=rounds,
                track=track,
                say=say,
            )
        if as_json:
            typer.echo(json.dumps(report.choice_dict(choice), indent=2))
        else:
            console.print(report.choice_table(choice))
            for line in (*report.choice_notes(choice), report.choice_verdict(choice)):
                print_line(line)
        if choice.best is None:
            raise typer.Exit(1)


@contextmanager
def _progress(as_json: bool) -> Iterator[tuple[Callable[[str], None], Track]]:
    """A line that says what goes on, and a bar for rounds."""
    with progress_bar(err=as_json) as progress:
        task = progress.add_task("", total=None)

        def say(text: str) -> None:
            progress.update(task, description=text, visible=True)

        def track(rounds: Iterable[int]) -> Iterable[int]:
            progress.update(task, visible=False)
            return progress.track(rounds, description="timing")

        yield say, track
