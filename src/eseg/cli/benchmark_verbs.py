"""Verbs that measure networks on this machine: models, benchmark, choose."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, get_args

import typer

from eseg.choices import EngineName, Family
from eseg.cli import options
from eseg.cli.options import (
    existing_file,
    file_or_name,
    parse_size,
    path_argument,
    path_option,
    writable_file,
)
from eseg.cli.screen import RichReporter, complain, print_result


def _refuse_unknown(engines: list[str] | None) -> list[str] | None:
    """Refuse unknown engines; Typer knows no lists of a Literal."""
    for engine in engines or ():
        if engine not in get_args(EngineName):
            known = ", ".join(map(repr, get_args(EngineName)))
            raise typer.BadParameter(f"{engine!r} is not one of {known}")
    return engines


Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads of the CPU; by default one per core.", metavar="COUNT"),
]
Rounds = Annotated[int, typer.Option(min=2, help="Images timed of each.", metavar="COUNT")]


def models(size: options.Size = "1024x2048", as_json: options.Json = False) -> None:
    """List the presets with their parameters and multiply-accumulates beside the paper's.

    Args:
        size: Image size to count at.
    """
    pixels = parse_size(size)
    from eseg.deploy.benchmark.profile import PAPER, PAPER_SIZE, profile_presets, profile_table

    profiles = profile_presets(pixels)
    rows = {
        name: {
            "parameters": profile.parameters,
            "macs": profile.macs,
            "paper_parameters": PAPER[name].parameters,
            "paper_macs": PAPER[name].macs if pixels == PAPER_SIZE else None,
        }
        for name, profile in profiles.items()
    }
    document = {"size": pixels, "models": rows}
    print_result(document, [profile_table(profiles, pixels)], as_json=as_json)


def benchmark(
    subjects: Annotated[list[str], path_argument(file_or_name, metavar="SUBJECT...")],
    size: options.SizeOrNone = None,
    image: Annotated[list[Path] | None, path_option(existing_file, metavar="FILE")] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(callback=_refuse_unknown, metavar=f"[{'|'.join(get_args(EngineName))}]"),
    ] = None,
    device: options.Device = None,
    precision: options.Precision = "auto",
    threads: Threads = None,
    rounds: Rounds = 20,
    as_json: options.Json = False,
    plot: Annotated[
        Path | None, path_option(writable_file(".png", ".svg"), metavar="PNG|SVG")
    ] = None,
    output: Annotated[Path | None, path_option(writable_file(".json"), metavar="FILE.json")] = None,
) -> None:
    """Time networks from image to labels, stage by stage, beside each other in one run.

    Each runs on every engine that is installed and fits; checkpoints are exported for it on the
    fly. All take turns in shuffled rounds, each in a process of its own; ratios are to the first.

    Args:
        subjects: Checkpoints, exported files and presets (with random weights).
        size: Image size; by default that of --image or of a file for one size, or 1024x2048.
        image: Picture to label; repeat it for several. By default a street scene is drawn.
        engine: Engine to time; repeat it for several. By default those that are installed, have
            the precision and need no compiler.
        plot: Picture of the stages to write.
        output: JSON file to write.
    """
    pixels = None if size is None else parse_size(size)
    from eseg.data.cores import physical_cores
    from eseg.deploy.benchmark import benchmark_report as report
    from eseg.deploy.benchmark.benchmark import benchmark as run
    from eseg.deploy.benchmark.subjects import check_pictures, find_subjects

    check_pictures(image or (), pixels)
    with TemporaryDirectory() as folder, RichReporter(err=as_json) as reporter:
        found = find_subjects(
            subjects,
            Path(folder),
            engines=engine or (),
            device=device,
            precision=precision,
            threads=threads or physical_cores(),
            reporter=reporter,
        )
        result = run(found, size=pixels, images=image or (), rounds=rounds, reporter=reporter)
    document = report.benchmark_dict(result)
    if output is not None:
        output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if plot is not None:
        report.save_benchmark_plot(result, plot)
    tables, notes = report.benchmark_tables(result), report.benchmark_notes(result)
    print_result(document, tables, notes, as_json=as_json)
    for warning in report.benchmark_warnings(result):
        complain(warning, "warning")


def choose(
    fps: Annotated[float, typer.Option()],
    size: options.Size = "1024x2048",
    engine: EngineName | None = None,
    family: Family = "all",
    device: options.Device = None,
    precision: options.Precision = "auto",
    threads: Threads = None,
    rounds: Rounds = 20,
    as_json: options.Json = False,
) -> None:
    """Time the presets here and name the most accurate that holds a rate of images.

    Accuracy is the paper's mIoU on Cityscapes. A rate is held if 95 % of the images take no longer
    than it allows, from a uint8 image in memory to uint8 labels. If none holds it the exit code is
    1, and a smaller size is looked for.

    Args:
        fps: Images per second that have to be held.
        size: Image size.
        engine: Engine to run on; by default the fastest of those that are installed and need no
            compiler.
        family: Presets to choose from.
    """
    pixels = parse_size(size)
    from eseg.data.cores import physical_cores
    from eseg.deploy.benchmark import benchmark_report as report
    from eseg.deploy.benchmark.choose import choose as run

    with RichReporter(err=as_json) as reporter:
        choice = run(
            fps,
            pixels,
            engine=engine,
            family=family,
            device=device,
            precision=precision,
            threads=threads or physical_cores(),
            rounds=rounds,
            reporter=reporter,
        )
    lines = [*report.choice_notes(choice), report.choice_verdict(choice)]
    table = report.choice_table(choice)
    print_result(report.choice_dict(choice), [table], lines, as_json=as_json)
    if choice.best is None:
        raise typer.Exit(1)
