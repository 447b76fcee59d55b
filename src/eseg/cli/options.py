"""Options and arguments that several verbs share, and how their values are read."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Annotated

import typer

from eseg.data.dataset_names import DATASET_NAMES


def _refuse_nan(scales: list[float] | None) -> list[float] | None:
    """Refuse what is no number: older Typers let it pass as within the bounds."""
    if any(math.isnan(scale) for scale in scales or ()):
        raise typer.BadParameter("nan is no factor of an image size")
    return scales


Device = Annotated[
    str | None,
    typer.Option(help="cuda, cuda:1, mps or cpu; by default the fastest there is.", metavar="NAME"),
]
Output = Annotated[Path | None, typer.Option(help="Folder for everything that is written.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
BUILT_IN_SETS = ", ".join(DATASET_NAMES)
Dataset = Annotated[
    Path,
    typer.Option(
        "--data", help=f"Data set YAML, or a built-in name: {BUILT_IN_SETS}.", metavar="DATASET"
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        "--root",
        help="Where the data lies, instead of the YAML's root; official data sets need it.",
    ),
]
CheckpointFile = Annotated[
    Path, typer.Argument(help="A checkpoint: best.pt in a run's folder.", metavar="CHECKPOINT")
]
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
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        help="fp32, bf16 or fp16; auto is bf16 on GPUs that have it and fp32 elsewhere.",
        metavar="NAME",
    ),
]
Flip = Annotated[bool, typer.Option("--flip", help="Average with the mirror image too.")]


def default_output(config: Path) -> Path:
    """Where a run goes: `runs/`, and the names of its YAML and the folder that this one is in."""
    folder = config.parent.name
    return Path("runs") / (config.stem if folder in ("", "..") else f"{folder}_{config.stem}")


def parse_size(text: str) -> tuple[int, int]:
    """HEIGHTxWIDTH as numbers; raises `ConfigError` for anything else."""
    from eseg.errors import ConfigError

    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None or min(int(match[1]), int(match[2])) < 1:
        raise ConfigError(f"--size {text!r} is not HEIGHTxWIDTH in pixels, such as 1024x2048")
    return int(match[1]), int(match[2])


def check_target(option: str, path: Path, suffixes: tuple[str, ...]) -> None:
    """Refuse a file that cannot be written, with a `ConfigError`, before minutes of computing."""
    from eseg.errors import ConfigError

    if path.suffix.lower() not in suffixes:
        raise ConfigError(f"{option} {path}: give a file that ends in {' or '.join(suffixes)}")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
        raise ConfigError(f"{option} {path}: cannot be written; choose another folder")


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
