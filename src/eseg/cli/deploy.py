"""Verbs that measure and hand over networks: models."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from eseg.cli.options import Json, parse_size
from eseg.cli.screen import clear_errors, console

app = typer.Typer()


@app.command()
def models(
    size: Annotated[
        str, typer.Option(help="Image size to count at.", metavar="HEIGHTxWIDTH")
    ] = "1024x2048",
    as_json: Json = False,
) -> None:
    """List the presets with their parameters and multiply-accumulates beside the paper's."""
    with clear_errors():
        from eseg.deploy.profile import PAPER, PAPER_SIZE, profile_presets, profile_table

        pixels = parse_size(size)
        profiles = profile_presets(pixels)
        if as_json:
            rows = {
                name: {
                    "parameters": profile.parameters,
                    "macs": profile.macs,
                    "paper_parameters": PAPER[name].parameters,
                    "paper_macs": PAPER[name].macs if pixels == PAPER_SIZE else None,
                }
                for name, profile in profiles.items()
            }
            typer.echo(json.dumps({"size": pixels, "models": rows}, indent=2))
            return
        console.print(profile_table(profiles, pixels))
