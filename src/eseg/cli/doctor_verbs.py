"""The verb that looks at the data before anyone trains on it: doctor."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress
from rich.text import Text

from eseg.cli.options import BUILT_IN_SETS, Json, Root
from eseg.cli.screen import clear_errors, console, print_line, progress_bar
from eseg.reports.reporter import Item, Reporter

if TYPE_CHECKING:
    from eseg.doctor import Diagnosis

app = typer.Typer()

_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


@app.command()
def doctor(
    data: Annotated[
        Path,
        typer.Argument(
            help=f"Data set YAML, a built-in name ({BUILT_IN_SETS}), or any folder of images and "
            "masks.",
            metavar="DATASET|FOLDER",
        ),
    ],
    root: Root = None,
    fix_config: Annotated[
        Path | None,
        typer.Option(
            help="Write a data set YAML that trains: without the faulty files, or with what was "
            "found in a folder.",
            metavar="OUT.yaml",
        ),
    ] = None,
    as_json: Json = False,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Draw samples of every class.", metavar="PNG"),
    ] = None,
) -> None:
    """Find out what is wrong with a data set; exit code 1 if there are errors.

    Errors are what training refuses or learns falsely from; docs/doctor.md explains each finding.
    """
    with clear_errors():
        from eseg.errors import ConfigError

        if fix_config is not None and fix_config.resolve() == data.resolve():
            raise ConfigError(f"{data}: --fix-config would replace it; choose another file")

        with progress_bar(err=as_json) as progress:
            diagnosis = _examine(data, root, ProgressReporter(progress))
        document = diagnosis.to_dict()
        lines = []
        if not as_json:
            _print(diagnosis)
        if sheet is not None:
            document["sheets"] = _draw(diagnosis, sheet)
            lines.append(f"samples: {', '.join(document['sheets'])}")
        if fix_config is not None:
            document["mended"], line = _mend(diagnosis, fix_config)
            lines.append(line)
        if as_json:
            typer.echo(json.dumps(document, indent=2))
        for line in lines if not as_json else ():
            print_line(line)
    if diagnosis.has_errors:
        raise typer.Exit(1)


class ProgressReporter(Reporter):
    """A reporter that shows progress alone, as a bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def track(
        self, items: Iterable[Item], *, total: int | None = None, description: str = ""
    ) -> Iterable[Item]:
        """Pass items on, and show a bar."""
        return self._progress.track(items, total=total, description=description)


def _print(diagnosis: Diagnosis) -> None:
    from eseg.doctor.diagnosis import balance_table, summary_line

    for finding in diagnosis.findings:
        text = finding.text(diagnosis.config.root)
        line = Text.assemble((finding.severity, _STYLES[finding.severity]), f": {text}")
        console.print(line, soft_wrap=True)
    if diagnosis.balances:
        print_line(balance_table(diagnosis).to_markdown())
    more = "; --json lists all files and classes" if diagnosis.findings else ""
    print_line(summary_line(diagnosis) + more)


def _examine(data: Path, root: Path | None, reporter: Reporter) -> Diagnosis:
    from eseg.config import NAMED_SETS, load_dataset
    from eseg.doctor import examine, examine_folder
    from eseg.errors import ConfigError

    named = NAMED_SETS.get(str(data))
    # A folder may have the same name.
    if (named is not None and root is not None) or not data.is_dir():
        source = named.source if named else None
        return examine(load_dataset(data, root), source=source, reporter=reporter)
    if root is not None:
        raise ConfigError(
            f"--root says where the data of a YAML or a built-in data set lies; {data} is a folder "
            "and lies where it is"
        )
    return examine_folder(data, reporter=reporter)


def _draw(diagnosis: Diagnosis, path: Path) -> list[str]:
    from eseg.doctor.class_sheet import save_sheet

    return [str(sheet) for sheet in save_sheet(diagnosis, path)]


def _mend(diagnosis: Diagnosis, path: Path) -> tuple[dict[str, Any], str]:
    """Write the mended data set; what JSON says about it, and a line for people."""
    from eseg.doctor.findings import counted
    from eseg.doctor.mending import mend, write_dataset

    mended = mend(diagnosis)
    files = write_dataset(mended, path)
    document = {
        "written": [str(file) for file in files],
        "left_out": [str(image) for image in mended.left_out],
        "ignored": list(mended.ignored),
    }
    line = f"wrote {', '.join(document['written'])}"
    if mended.left_out:
        line += f"; left out: {counted(len(mended.left_out), 'image')}"
    if mended.ignored:
        values = ", ".join(map(str, mended.ignored[:10]))
        line += f"; now without label: the values {values}"
    if diagnosis.is_proposed:
        line += "; look at `classes` in it: names and colours are guesses"
    if mended.kept.keys() >= {"train", "val"}:
        line += f". To train: eseg train CONFIG data.dataset={path}"
    return document, line
