"""Verbs that measure and hand over networks: models, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from eseg.cli.options import CheckpointFile, Json, Root, parse_size
from eseg.cli.screen import clear_errors, console, print_line, progress_bar
from eseg.cli.verify_verbs import compare

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
        from eseg.deploy.benchmark.profile import PAPER, PAPER_SIZE, profile_presets, profile_table

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


@app.command()
def export(
    checkpoint: CheckpointFile,
    format: Annotated[  # noqa: A002 - the option's name
        str,
        typer.Option(
            help="onnx (ONNX Runtime, TensorRT), openvino, or pt2 (AOTInductor: machine code for "
            "this torch and this kind of processor).",
            metavar="NAME",
        ),
    ] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option(help="File to write; by default beside the checkpoint, named after both."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="The one image size to take, for speed.", metavar="HEIGHTxWIDTH"),
    ] = None,
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="Take images of every size, which is the default.")
    ] = False,
    outputs: Annotated[
        str,
        typer.Option(
            help="logits (small scores: labels are made of them fastest outside the graph) or "
            "labels (of the image's size, within the graph).",
            metavar="NAME",
        ),
    ] = "logits",
    half: Annotated[
        bool, typer.Option("--half", help="16-bit floats, for devices that compute in them.")
    ] = False,
    device: Annotated[
        str, typer.Option(help="What a pt2 is compiled for: cpu or cuda.", metavar="NAME")
    ] = "cpu",
    int8: Annotated[
        bool, typer.Option("--int8", help="8-bit integers; needs --calibrate. Not for pt2.")
    ] = False,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="Data set YAML or built-in name for --int8: calibrated on its train split, "
            "measured on val.",
            metavar="DATASET",
        ),
    ] = None,
    root: Root = None,
    images: Annotated[
        int | None,
        typer.Option(
            min=1, help="Images that --int8 calibrates on at most; by default 100.", metavar="COUNT"
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="Points of mIoU that may be lost, by default 0.3; beyond, --int8 writes no file "
            "and --verify fails.",
            metavar="POINTS",
        ),
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option(
            help="Data set YAML or built-in name: compare the file with the checkpoint on its val "
            "split, as eseg verify does.",
            metavar="DATASET",
        ),
    ] = None,
) -> None:
    """Write a checkpoint as one file that other programs run.

    It takes a uint8 RGB image, (1, height, width, 3), and normalises it; names and colours of the
    classes are inside. It runs where there is no torch: see eseg.runtime.
    """
    with clear_errors():
        from eseg.checkpoint import load_checkpoint
        from eseg.deploy.export.export import Format, default_output, export
        from eseg.deploy.export.quantise import (
            CALIBRATION_IMAGES,
            MAX_DROP,
            Int8Format,
            export_int8,
        )
        from eseg.deploy.verify.reference import open_truth
        from eseg.devices import choose_device
        from eseg.errors import ConfigError
        from eseg.runtime.network_info import Outputs

        if size is not None and dynamic:
            raise ConfigError("--size is for one size and --dynamic for every size; keep one")
        if int8 and (half or calibrate is None):
            raise ConfigError(
                "--int8 and --half are two precisions; keep one"
                if half
                else "--int8 needs images to calibrate on: --calibrate DATASET.yaml"
            )
        _needs("--calibrate", calibrate, {"--int8": int8})
        _needs("--images", images, {"--int8": int8})
        _needs("--max-drop", max_drop, {"--int8": int8, "--verify": verify})
        _needs("--root", root, {"--calibrate": calibrate, "--verify": verify})
        allowed = MAX_DROP if max_drop is None else max_drop
        target = choose_device(device)
        if target.type != "cpu" and format != "pt2":
            raise ConfigError("--device is for --format pt2; other files run on any device")
        pixels = None if size is None else parse_size(size)
        kind = cast("Outputs", _one_of("--outputs", outputs, Outputs))
        precision = "int8" if int8 else "fp16" if half else "fp32"
        form = cast("Format", _one_of("--format", format, Int8Format if int8 else Format))
        path = output or default_output(
            checkpoint, format=form, size=pixels, outputs=kind, precision=precision
        )
        loaded = load_checkpoint(checkpoint)
        truth = None if verify is None else loaded.data_config(verify, root)
        if truth is not None:
            open_truth(truth, truth.val_split, loaded)  # or it is refused before the export
        if calibrate is None:
            with console.status("exporting"):
                written = export(
                    loaded,
                    path,
                    format=form,
                    size=pixels,
                    outputs=kind,
                    precision="fp16" if half else "fp32",
                    device=target,
                )
        else:
            with progress_bar(err=True) as progress:
                result = export_int8(
                    loaded,
                    path,
                    format=cast("Int8Format", form),
                    data=loaded.data_config(calibrate, root),
                    size=pixels,
                    outputs=kind,
                    images=images or CALIBRATION_IMAGES,
                    max_drop=allowed,
                    track=progress.track,
                )
            written = result.path
            print_line(
                f"mIoU {100 * result.miou_fp32:.2f} in 32-bit floats, {100 * result.miou:.2f} in "
                f"8 bits ({result.measured_on} images; calibrated on {result.calibrated_on} others)"
            )
        files = [written, *([written.with_suffix(".bin")] if form == "openvino" else [])]
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        print_line(
            f"{path} ({megabytes:.1f} MB)\nnext: eseg predict {path} IMAGES... --output FOLDER"
        )
        if truth is not None:
            compare(written, loaded, truth, max_drop=allowed)


def _needs(option: str, given: object, served: dict[str, object]) -> None:
    """Refuse an option, with a `ConfigError`, that does nothing without one of those it serves."""
    from eseg.errors import ConfigError

    if given is not None and not any(served.values()):
        raise ConfigError(
            f"{option} does nothing without {' or '.join(served)}; add that or leave it out"
        )


def _one_of(option: str, word: str, choices: object) -> str:
    """The word, if it is one of a `Literal`; raises `ConfigError` otherwise."""
    from eseg.errors import ConfigError

    if word not in get_args(choices):
        raise ConfigError(f"{option} {word!r} is none of {', '.join(get_args(choices))}")
    return word
