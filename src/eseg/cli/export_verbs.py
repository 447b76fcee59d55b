"""Verbs that measure and hand over networks: models, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, get_args

import typer

from eseg.choices import Format, Int8Format, Outputs
from eseg.cli.options import (
    CheckpointFile,
    Json,
    Root,
    checked,
    data_set,
    parse_size,
    writable_file,
)
from eseg.cli.screen import RichReporter, print_line, print_table
from eseg.cli.verify_verbs import compare, default_picture
from eseg.errors import ConfigError


def models(
    size: Annotated[
        str, typer.Option(help="Image size to count at.", metavar="HEIGHTxWIDTH")
    ] = "1024x2048",
    as_json: Json = False,
) -> None:
    """List the presets with their parameters and multiply-accumulates beside the paper's."""
    pixels = parse_size(size)
    from eseg.deploy.benchmark.profile import PAPER, PAPER_SIZE, profile_presets, profile_table

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
    print_table(profile_table(profiles, pixels))


def export(
    checkpoint: CheckpointFile,
    format: Annotated[  # noqa: A002 - the option's name
        Format,
        typer.Option(
            help="onnx is for ONNX Runtime and TensorRT; pt2 (AOTInductor) is machine code for "
            "this torch and this kind of processor.",
        ),
    ] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option(
            callback=checked(writable_file()),
            help="File to write; by default beside the checkpoint, named after both.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="The one image size to take, for speed.", metavar="HEIGHTxWIDTH"),
    ] = None,
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="Take images of every size, which is the default.")
    ] = False,
    outputs: Annotated[
        Outputs,
        typer.Option(
            help="logits are small scores: labels are made of them fastest outside the graph. "
            "labels are of the image's size, made within the graph.",
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
            callback=checked(data_set),
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
            callback=checked(data_set),
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
    if size is not None and dynamic:
        raise ConfigError("--size is for one size and --dynamic for every size; keep one")
    if int8 and half:
        raise ConfigError("--int8 and --half are two precisions; keep one")
    if int8 and calibrate is None:
        raise ConfigError("--int8 needs images to calibrate on: --calibrate DATASET.yaml")
    if int8 and format not in get_args(Int8Format):
        raise ConfigError(f"--int8 is for --format {' or '.join(get_args(Int8Format))}")
    if format != "pt2" and device.partition(":")[0] != "cpu":
        raise ConfigError(f"--device {device} is for --format pt2; other files run on any device")
    _refuse_idle("--calibrate", calibrate, {"--int8": int8})
    _refuse_idle("--images", images, {"--int8": int8})
    _refuse_idle("--max-drop", max_drop, {"--int8": int8, "--verify": verify})
    _refuse_idle("--root", root, {"--calibrate": calibrate, "--verify": verify})
    pixels = None if size is None else parse_size(size)
    from eseg.checkpoint import load_checkpoint
    from eseg.deploy.export.export import default_output
    from eseg.deploy.export.export import export as run
    from eseg.deploy.export.quantise import CALIBRATION_IMAGES, MAX_DROP, export_int8
    from eseg.deploy.verify.verify import open_truth
    from eseg.devices import choose_device
    from eseg.runtime.engine_table import EXPORT_FORMATS

    allowed = MAX_DROP if max_drop is None else max_drop
    target = choose_device(device)
    precision = "int8" if int8 else "fp16" if half else "fp32"
    path = output or default_output(
        checkpoint, format=format, size=pixels, outputs=outputs, precision=precision
    )
    loaded = load_checkpoint(checkpoint)
    truth = None if verify is None else loaded.data_config(verify, root)
    if truth is not None:
        open_truth(truth, truth.val_split, loaded)  # or it is refused before the export
    with RichReporter(err=True) as reporter:
        if calibrate is None:
            reporter.status("exporting")
            written = run(
                loaded,
                path,
                format=format,
                size=pixels,
                outputs=outputs,
                precision="fp16" if half else "fp32",
                device=target,
            )
        else:
            result = export_int8(
                loaded,
                path,
                format=format,
                data=loaded.data_config(calibrate, root),
                size=pixels,
                outputs=outputs,
                images=images or CALIBRATION_IMAGES,
                max_drop=allowed,
                reporter=reporter,
            )
            written = result.path
            print_line(
                f"mIoU {100 * result.miou_fp32:.2f} in 32-bit floats, {100 * result.miou:.2f} in "
                f"8 bits ({result.measured_on} images; calibrated on {result.calibrated_on} others)"
            )
    companion = EXPORT_FORMATS[format].companion
    files = [written, *([written.with_suffix(companion)] if companion else [])]
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    print_line(f"{path} ({megabytes:.1f} MB)\nnext: eseg predict {path} IMAGES... --output FOLDER")
    if truth is not None:
        compare(written, loaded, truth, default_picture(written), max_drop=allowed)


def _refuse_idle(option: str, given: object, served: dict[str, object]) -> None:
    """Refuse an option, with a `ConfigError`, that does nothing without one of those it serves."""
    if given is not None and not any(served.values()):
        raise ConfigError(
            f"{option} does nothing without {' or '.join(served)}; add that or leave it out"
        )
