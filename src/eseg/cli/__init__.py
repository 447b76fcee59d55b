"""Command line: one function per verb, heavy imports inside, so that help and errors are quick."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from eseg import __version__
from eseg.cli.benchmark_verbs import benchmark, choose, models
from eseg.cli.doctor_verbs import doctor
from eseg.cli.export_verbs import export, verify
from eseg.cli.inference_verbs import evaluate, predict
from eseg.cli.options import spell_out_scales
from eseg.cli.screen import clear_errors
from eseg.cli.self_training_verbs import pseudo_label, self_train
from eseg.cli.training_verbs import quickstart, train


class Verbs(TyperGroup):
    """Group of verbs whose errors end as one line each."""

    def invoke(self, ctx: Any) -> Any:
        """Read the words of a verb and run it."""
        with clear_errors(ctx):
            return super().invoke(ctx)


class Verb(TyperCommand):
    """Verb whose docstring is its help; under "Args:" is that of its own parameters."""

    def __init__(self, *args: Any, params: list[Any], **settings: Any) -> None:
        super().__init__(*args, params=params, **settings)
        text, _, section = (self.help or "").partition("\n\nArgs:\n")
        # Typer would break lines in --help where the docstring does, whatever the screen's width.
        self.help = "\n\n".join(_one_line(paragraph) for paragraph in text.split("\n\n"))
        described = dict(re.findall(r"^    (\w+): (.*(?:\n     .*)*)", section, re.MULTILINE))
        for parameter in params:
            if parameter.name in described:
                parameter.help = _one_line(described[parameter.name])


def _one_line(text: str) -> str:
    return " ".join(text.split())


app = typer.Typer(
    name="eseg",
    cls=Verbs,
    help="Semantic segmentation: train on your images, measure, predict.\n\n"
    "Start with [bold]eseg quickstart[/bold]; it needs no data and takes minutes on a CPU.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> bool:
    if wanted:
        version()
        raise typer.Exit
    return wanted


@app.callback()
def _top(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


def version() -> None:
    """Print the version."""
    typer.echo(__version__)


for verb in (
    quickstart, train, evaluate, predict, doctor, pseudo_label, self_train, models, export, verify,
    benchmark, choose, version,
):  # fmt: skip
    app.command(cls=Verb)(verb)


def main() -> None:
    """Run `eseg`, or `python -m eseg`, with the words of the command line."""
    app(args=spell_out_scales(sys.argv[1:]))
