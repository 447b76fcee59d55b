"""Verb that examines a data set before anyone trains on it: doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eseg.cli import options
from eseg.cli.options import (
    BUILT_IN_SETS,
    data_set_or_folder,
    path_argument,
    path_option,
    writable_parent,
)
from eseg.cli.screen import RichReporter, complain, console, print_line, print_result, print_table
from eseg.errors import ConfigError

if TYPE_CHECKING:
    from eseg.doctor import Diagnosis
    from eseg.reports.reporter import Reporter


def doctor(
    data: Annotated[
        Path,
        path_argument(
            data_set_or_folder,
            help=f"Data set YAML, a built-in name ({BUILT_IN_SETS}), or any folder of images and "
            "masks.",
            metavar="DATASET|FOLDER",
        ),
    ],
    root: options.Root = None,
    fix_config: Annotated[Path | None, path_option(writable_parent, metavar="OUT.yaml")] = None,
    as_json: options.Json = False,
    sheet: Annotated[Path | None, path_option(writable_parent, metavar="PNG")] = None,
) -> None:
    """Find out what is wrong with a data set; exit code 1 if there are errors.

    Errors are what training refuses or learns falsely from; docs/doctor.md explains each finding.

    Args:
        fix_config: Write a data set YAML that trains: without the faulty files, or with what was
            found in a folder.
        sheet: Draw samples of every class.
    """
    if fix_config is not None and fix_config.resolve() == data.resolve():
        raise ConfigError(f"{data}: --fix-config would replace it; choose another file")
    with RichReporter(err=as_json) as reporter:
        diagnosis = _examine(data, root, reporter)
    if not as_json:
        from eseg.doctor.diagnosis import balance_table, summary_line

        for finding in diagnosis.findings:
            complain(finding.text(diagnosis.config.root), finding.severity, console)
        if diagnosis.balances:
            print_table(balance_table(diagnosis))
        more = "; --json lists all files and classes" if diagnosis.findings else ""
        print_line(summary_line(diagnosis) + more)
    document, lines = diagnosis.to_dict(), []
    if sheet is not None:
        from eseg.doctor.class_sheet import save_sheet

        document["sheets"] = [str(file) for file in save_sheet(diagnosis, sheet)]
        lines.append(f"samples: {', '.join(document['sheets'])}")
    if fix_config is not None:
        document["mended"], line = _mend(diagnosis, fix_config)
        lines.append(line)
    print_result(document, lines=lines, as_json=as_json)
    if diagnosis.has_errors:
        raise typer.Exit(1)


def _examine(data: Path, root: Path | None, reporter: Reporter) -> Diagnosis:
    from eseg.config import NAMED_SETS, load_dataset
    from eseg.doctor import examine, examine_folder

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
