"""The verb that looks at the data before anyone trains on it: doctor."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eseg.cli.options import BUILT_IN_SETS, Json, Root
from eseg.cli.screen import clear_errors, console, progress_bar

if TYPE_CHECKING:
    from eseg.data.doctor import Diagnosis
    from eseg.data.doctor.diagnosis import Track

app = typer.Typer()


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
        from eseg.config import ConfigError
        from eseg.data.doctor.report import report

        if fix_config is not None and fix_config.resolve() == data.resolve():
            raise ConfigError(f"{data}: --fix-config would replace it; choose another file")

        with progress_bar(err=as_json) as progress:
            diagnosis = _examine(
                data, root, partial(progress.track, description="reading images and masks")
            )
        written = []
        if sheet is not None:
            written.append(_draw(diagnosis, sheet))
        if as_json:
            typer.echo(json.dumps(diagnosis.to_dict(), indent=2))
        else:
            console.print(report(diagnosis), highlight=False)
        if fix_config is not None:
            written.append(_mend(diagnosis, fix_config))
        for line in written if not as_json else ():
            console.print(line, highlight=False, soft_wrap=True, markup=False)
    if diagnosis.has_errors:
        raise typer.Exit(1)


def _examine(data: Path, root: Path | None, track: Track) -> Diagnosis:
    from eseg.config import STREETS, ConfigError, load_dataset
    from eseg.data.doctor import examine, examine_folder
    from eseg.data.official import OFFICIAL

    if data == Path(STREETS):
        raise ConfigError("streets is made on the fly: there are no files that could be wrong")
    named = str(data) in OFFICIAL and root is not None  # A folder may have the same name.
    if named or not data.is_dir():
        return examine(load_dataset(data, root), track=track)
    if root is not None:
        raise ConfigError(
            f"--root says where the data of a YAML or a built-in data set lies; {data} is a folder "
            "and lies where it is"
        )
    return examine_folder(data, track=track)


def _draw(diagnosis: Diagnosis, path: Path) -> str:
    from eseg.data.doctor.sheet import save_sheet

    save_sheet(diagnosis, path)
    return f"samples: {path}"


def _mend(diagnosis: Diagnosis, path: Path) -> str:
    from eseg.data.doctor.mending import mend, write_dataset

    mended = mend(diagnosis)
    files = write_dataset(mended, path)
    line = f"wrote {', '.join(map(str, files))}"
    if mended.left_out:
        line += f"; left out: {len(mended.left_out)} images"
    if mended.ignored:
        values = ", ".join(map(str, mended.ignored[:10]))
        line += f"; now without label: the values {values}"
    if diagnosis.is_proposed:
        line += "; look at `classes` in it: names and colours are guesses"
    return f"{line}. To train: eseg train CONFIG data.dataset={path}"
