"""Verb that examines a data set before anyone trains on it: doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eseg.cli.options import (
    BUILT_IN_SETS,
    Json,
    Root,
    checked,
    data_set_or_folder,
    writable_parent,
)
from eseg.cli.screen import RichReporter, console, print_line
from eseg.errors import ConfigError

if TYPE_CHECKING:
    from eseg.doctor import Diagnosis
    from eseg.doctor.diagnosis import Track


def doctor(
    data: Annotated[
        Path,
        typer.Argument(
            callback=checked(data_set_or_folder),
            help=f"Data set YAML, a built-in name ({BUILT_IN_SETS}), or any folder of images and "
            "masks.",
            metavar="DATASET|FOLDER",
        ),
    ],
    root: Root = None,
    fix_config: Annotated[
        Path | None,
        typer.Option(
            callback=checked(writable_parent),
            help="Write a data set YAML that trains: without the faulty files, or with what was "
            "found in a folder.",
            metavar="OUT.yaml",
        ),
    ] = None,
    as_json: Json = False,
    sheet: Annotated[
        Path | None,
        typer.Option(
            callback=checked(writable_parent),
            help="Draw samples of every class.",
            metavar="PNG",
        ),
    ] = None,
) -> None:
    """Find out what is wrong with a data set; exit code 1 if there are errors.

    Errors are what training refuses or learns falsely from; docs/doctor.md explains each finding.
    """
    if fix_config is not None and fix_config.resolve() == data.resolve():
        raise ConfigError(f"{data}: --fix-config would replace it; choose another file")
    from eseg.doctor.diagnosis_report import report

    with RichReporter(err=as_json) as reporter:
        diagnosis = _examine(
            data,
            root,
            lambda facts, total: reporter.track(
                facts, total=int(total), description="reading images and masks"
            ),
        )
    document = diagnosis.to_dict()
    lines = []
    if not as_json:
        console.print(report(diagnosis), highlight=False)
    if sheet is not None:
        from eseg.doctor.class_sheet import save_sheet

        document["sheets"] = [str(file) for file in save_sheet(diagnosis, sheet)]
        lines.append(f"samples: {', '.join(document['sheets'])}")
    if fix_config is not None:
        document["mended"], line = _mend(diagnosis, fix_config)
        lines.append(line)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        for line in lines:
            print_line(line)
    if diagnosis.has_errors:
        raise typer.Exit(1)


def _examine(data: Path, root: Path | None, track: Track) -> Diagnosis:
    from eseg.config import STREETS, load_dataset
    from eseg.data.official import OFFICIAL
    from eseg.doctor import examine, examine_folder

    if data == Path(STREETS):
        raise ConfigError("streets is made on the fly: there are no files that could be wrong")
    named = str(data) in OFFICIAL and root is not None  # A folder may have the same name.
    if named or not data.is_dir():
        official = OFFICIAL.get(str(data))
        source = official.source if official else None
        return examine(load_dataset(data, root), source=source, track=track)
    if root is not None:
        raise ConfigError(
            f"--root says where the data of a YAML or a built-in data set lies; {data} is a folder "
            "and lies where it is"
        )
    return examine_folder(data, track=track)


def _mend(diagnosis: Diagnosis, path: Path) -> tuple[dict[str, Any], str]:
    """Write the mended data set; return its description for JSON, and a line for people."""
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
