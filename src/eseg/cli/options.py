"""Options and arguments that several verbs share, and the checks of their values.

Paths are checked while the command line is read, before anything heavy is imported.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from eseg import choices
from eseg.data.dataset_names import DATASET_NAMES
from eseg.errors import ConfigError, OutputError

BUILT_IN_SETS = ", ".join(DATASET_NAMES)

Check = Callable[[Path, str], None]
"""Raises an `EsegError` if a path cannot be used; also takes the name of its parameter."""


def checked(check: Check) -> Callable[..., Any]:
    """Return a Typer callback that applies a check to every path of a parameter."""

    def callback(_context: Any, param: Any, value: Any) -> Any:
        for given in value if isinstance(value, list | tuple) else (value,):
            try:
                if given is not None:
                    check(Path(given), str(param.name))
            except OSError as error:  # such as a folder above it that may not be searched
                raise ConfigError(f"{given}: {error.strerror}") from None
        return value

    return callback


def path_option(check: Check, *names: str, **settings: Any) -> Any:
    """Return a Typer option for paths that `check` accepts, with its names and other settings."""
    return typer.Option(*names, callback=checked(check), **settings)


def path_argument(check: Check, **settings: Any) -> Any:
    """Return a Typer argument for paths that `check` accepts, with its other settings."""
    return typer.Argument(callback=checked(check), **settings)


def existing(path: Path, _name: str = "") -> None:
    """Refuse a path where there is nothing."""
    if not path.exists():
        raise ConfigError(f"{path}: no such file or folder")


def existing_file(path: Path, _name: str = "") -> None:
    """Refuse a file that does not exist; one may also be a pipe."""
    if path.is_dir():
        best = path / "best.pt"
        remedy = f"take {best}" if best.is_file() else "name a file"
        raise ConfigError(f"{path} is a folder; {remedy}")
    if not path.exists():
        raise ConfigError(f"{path}: no such file")


def existing_folder(path: Path, _name: str = "") -> None:
    """Refuse a folder that does not exist."""
    if path.is_file():
        raise ConfigError(f"{path} is a file, not a folder")
    if not path.exists():
        raise ConfigError(f"{path}: no such folder")


def file_or_name(path: Path, _name: str = "") -> None:
    """Refuse a missing file; a word without a suffix may also be a name that a verb knows."""
    if path.suffix:
        existing_file(path)


def data_set(path: Path, _name: str = "") -> None:
    """Refuse a data set that is neither a YAML nor built in."""
    if str(path) not in DATASET_NAMES:
        data_set_or_folder(path)
        existing_file(path)


def data_set_or_folder(path: Path, _name: str = "") -> None:
    """Refuse a data set that is neither a YAML nor built in nor a folder."""
    if str(path) not in DATASET_NAMES and not path.exists():
        raise ConfigError(
            f"{path}: neither a file nor a data set known by name; those are {BUILT_IN_SETS}"
        )


def writable_folder(path: Path, name: str) -> None:
    """Refuse a folder that can neither be written nor made."""
    places = [path, *path.parents]
    file = next((place for place in places if place.is_file()), None)
    folder = next((place for place in places if place.is_dir()), Path())
    if file is not None or not os.access(folder, os.W_OK):
        reason = f"no permission for {folder}" if file is None else f"{file} is a file"
        raise OutputError(f"{path}: cannot be written ({reason}); choose another `{name}`")


def writable_parent(path: Path, name: str) -> None:
    """Refuse a file whose folder can neither be written nor made."""
    writable_folder(path.parent, name)


def writable_file(*suffixes: str) -> Check:
    """Return a check that refuses other suffixes, and a file that cannot be written."""

    def check(path: Path, name: str) -> None:
        if suffixes and path.suffix.lower() not in suffixes:
            raise ConfigError(f"`{name}` {path}: give a file that ends in {' or '.join(suffixes)}")
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
            raise OutputError(f"`{name}` {path}: cannot be written; choose another folder")

    return check


def _refuse_nan(scales: list[float] | None) -> list[float] | None:
    """Refuse NaN, which older Typers let pass as within the bounds."""
    if any(math.isnan(scale) for scale in scales or ()):
        raise typer.BadParameter("nan is not a factor of an image size")
    return scales


RunYaml = Annotated[
    Path, path_argument(existing_file, help="YAML of the run, such as configs/camvid/cpu_1h.yaml.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        help="Values to change, such as optim.lr=0.02 data.root=/data/cityscapes.",
        metavar="[SECTION.KEY=VALUE]...",
    ),
]
CheckpointFile = Annotated[
    Path,
    path_argument(
        existing_file, help="A checkpoint: best.pt in a run's folder.", metavar="CHECKPOINT"
    ),
]
Output = Annotated[
    Path | None, path_option(writable_folder, help="Folder for everything that is written.")
]
Dataset = Annotated[
    Path,
    path_option(
        data_set,
        "--data",
        help=f"Data set YAML, or a built-in name: {BUILT_IN_SETS}.",
        metavar="DATASET",
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        "--root",
        help="Where the data lies, instead of the YAML's root; official data sets need it.",
    ),
]
Split = Annotated[str, typer.Option(help="Split of the data set.")]
Unlabelled = Annotated[
    Path, path_option(existing_folder, help="Folder of images, searched to any depth.")
]
Size = Annotated[str, typer.Option(metavar="HEIGHTxWIDTH")]
SizeOrNone = Annotated[str | None, typer.Option(metavar="HEIGHTxWIDTH")]
Scales = Annotated[
    list[float] | None,
    typer.Option(
        "--scales",
        min=0.01,
        max=100,
        callback=_refuse_nan,
        help="Factors of the image size to run at and average, such as 0.5 1.0 2.0.",
        metavar="FACTOR...",
    ),
]
Flip = Annotated[bool, typer.Option("--flip", help="Average with the mirror image too.")]
Device = Annotated[
    str | None,
    typer.Option(help="cuda, cuda:1, mps or cpu; by default the fastest there is.", metavar="NAME"),
]
Precision = Annotated[
    choices.Precision,
    typer.Option("--precision", help="auto is bf16 on GPUs that have it and fp32 elsewhere."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def default_output(config: Path) -> Path:
    """Return a run's folder: `runs/` and the names of its YAML and of the folder of that."""
    folder = config.parent.name
    return Path("runs") / (config.stem if folder in ("", "..") else f"{folder}_{config.stem}")


def parse_size(text: str) -> tuple[int, int]:
    """Read HEIGHTxWIDTH as numbers; raise `ConfigError` for anything else."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None or min(int(match[1]), int(match[2])) < 1:
        raise ConfigError(f"--size {text!r} is not HEIGHTxWIDTH in pixels, such as 1024x2048")
    return int(match[1]), int(match[2])


def spell_out_scales(words: Iterable[str]) -> list[str]:
    """Write `--scales 0.5 1` as `--scales 0.5 --scales 1`, the form that Typer knows."""
    spelt_out: list[str] = []
    for word in words:
        *_, before, last = "", "", *spelt_out
        follows = before == "--scales" or last.startswith("--scales=")
        if follows and re.fullmatch(r"\d+\.?|\d*\.\d+", word):
            spelt_out.append("--scales")
        spelt_out.append(word)
    return spelt_out
