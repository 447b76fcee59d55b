"""The command line: one function per verb. Heavy imports stay inside, so that --help is quick."""

from __future__ import annotations

import inspect
import sys

import typer

from eseg import __version__
from eseg.cli import benchmark_verbs as benchmark
from eseg.cli import doctor_verbs as doctor
from eseg.cli import export_verbs as deploy
from eseg.cli import inference_verbs as inference
from eseg.cli import self_training_verbs as self_training
from eseg.cli import training_verbs as training
from eseg.cli import verify_verbs as verify
from eseg.cli.options import spell_out_scales

app = typer.Typer(
    name="eseg",
    help="Semantic segmentation: train on your images, measure, predict.\n\n"
    "Start with [bold]eseg quickstart[/bold]; it needs no data and takes minutes on a CPU.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for group in (
    training.app,
    doctor.app,
    self_training.app,
    inference.app,
    deploy.app,
    verify.app,
    benchmark.app,
):
    for command in group.registered_commands:
        # Typer would break lines in --help where the docstring does, whatever the screen's width.
        paragraphs = inspect.getdoc(command.callback) or ""
        command.help = "\n\n".join(" ".join(p.split()) for p in paragraphs.split("\n\n"))
    app.add_typer(group)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Entry point of `eseg` and `python -m eseg`."""
    app(args=spell_out_scales(sys.argv[1:]))
