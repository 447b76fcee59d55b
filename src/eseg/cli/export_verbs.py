"""Verbs of exported files: export, verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from eseg.choices import ExportEngine, Format, Int8Format, Outputs
from eseg.cli import options
from eseg.cli.options import (
    data_set,
    existing_file,
    parse_size,
    path_argument,
    path_option,
    writable_file,
)
from eseg.cli.screen import RichReporter, complain, print_line, print_result
from eseg.errors import ConfigError

if TYPE_CHECKING:
    from eseg.checkpoint import Checkpoint
    from eseg.config import DataConfig

_check_picture = writable_file(".png")


def export(
    checkpoint: options.CheckpointFile,
    format: Format = "onnx",  # noqa: A002 - the option's name
    output: Annotated[Path | None, path_option(writable_file())] = None,
    size: options.SizeOrNone = None,
    dynamic: Annotated[bool, typer.Option("--dynamic")] = False,
    outputs: Outputs = "logits",
    half: Annotated[bool, typer.Option("--half")] = False,
    device: Annotated[str, typer.Option(metavar="NAME")] = "cpu",
    int8: Annotated[bool, typer.Option("--int8")] = False,
    calibrate: Annotated[Path | None, path_option(data_set, metavar="DATASET")] = None,
    root: options.Root = None,
    images: Annotated[int | None, typer.Option(min=1, metavar="COUNT")] = None,
    max_drop: Annotated[float | None, typer.Option(metavar="POINTS")] = None,
    verify: Annotated[Path | None, path_option(data_set, metavar="DATASET")] = None,
) -> None:
    """Write a checkpoint as one file that other programs run.

    It takes a uint8 RGB image, (1, height, width, 3), and normalises it; names and colours of the
    classes are inside. It runs where there is no torch: see eseg.runtime.

    Args:
        format: onnx is for ONNX Runtime and TensorRT; pt2 (AOTInductor) is machine code for this
            torch and this kind of processor.
        output: File to write; by default beside the checkpoint, named after both.
        size: The one image size to take, for speed.
        dynamic: Take images of every size, which is the default.
        outputs: logits are small scores: labels are made of them fastest outside the graph. labels
            are of the image's size, made within the graph.
        half: 16-bit floats, for devices that compute in them.
        device: What a pt2 is compiled for: cpu or cuda.
        int8: 8-bit integers; needs --calibrate. Not for pt2.
        calibrate: Data set YAML or built-in name for --int8: calibrated on its train split,
            measured on val.
        images: Images that --int8 calibrates on at most; by default 100.
        max_drop: Points of mIoU that may be lost, by default 0.3; beyond, --int8 writes no file
            and --verify fails.
        verify: Data set YAML or built-in name: compare the file with the checkpoint on its val
            split, as eseg verify does.
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
    from eseg.devices import choose_device
    from eseg.inference.evaluate import open_own_split
    from eseg.runtime.engine_table import EXPORT_FORMATS

    allowed = MAX_DROP if max_drop is None else max_drop
    target = choose_device(device)
    precision = "int8" if int8 else "fp16" if half else "fp32"
    form: dict[str, Any] = {"format": format, "size": pixels, "outputs": outputs}
    path = output or default_output(checkpoint, **form, precision=precision)
    loaded = load_checkpoint(checkpoint)
    truth = None if verify is None else loaded.data_config(verify, root)
    if truth is not None:
        open_own_split(loaded.classes, truth, truth.val_split)  # refused before the export
    with RichReporter(err=True) as reporter:
        if calibrate is None:
            reporter.status("exporting")
            written = run(loaded, path, **form, precision="fp16" if half else "fp32", device=target)
        else:
            result = export_int8(
                loaded,
                path,
                **form,
                data=loaded.data_config(calibrate, root),
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
        _compare(written, loaded, truth, _default_picture(written), max_drop=allowed)


def verify(
    file: Annotated[Path, path_argument(existing_file, metavar="FILE")],
    against: Annotated[Path, path_option(existing_file, metavar="CHECKPOINT")],
    data: options.Dataset,
    split: options.Split = "val",
    root: options.Root = None,
    limit: Annotated[int | None, typer.Option(min=1)] = None,
    tolerance: Annotated[float | None, typer.Option(min=0, max=100, metavar="PERCENT")] = None,
    max_drop: Annotated[float, typer.Option(metavar="POINTS")] = 0.3,
    engine: ExportEngine | None = None,
    device: Annotated[str | None, typer.Option(metavar="NAME")] = None,
    output: Annotated[Path | None, path_option(_check_picture, metavar="PNG")] = None,
    as_json: options.Json = False,
) -> None:
    """Compare an exported file with its checkpoint on real images; exit code 1 if they differ.

    The checkpoint runs in torch, on the CPU in fp32. If the file takes one size only, both get
    images resized to it.

    Args:
        file: What eseg export wrote: .onnx, .xml or .pt2.
        against: The checkpoint that it was made of.
        limit: Images to compare, spread evenly over the split; all by default.
        tolerance: Per cent of the labels that must be equal; by default 99.9 for files in fp32,
            99.5 in fp16 and 98.5 in int8.
        max_drop: Points of mIoU, of 100, that may be lost.
        engine: Engine that runs the file; by default the first that can.
        device: Where the file runs; by default the CPU, or what it was compiled for.
        output: Picture of the image that differs most; by default FILE.worst.png.
    """
    picture = output or _default_picture(file)
    from eseg.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(against)
    _compare(
        file,
        checkpoint,
        checkpoint.data_config(data, root),
        picture,
        as_json=as_json,
        split=split,
        limit=limit,
        agreement=None if tolerance is None else tolerance / 100,
        max_drop=max_drop,
        engine=engine,
        device=device,
    )


def _refuse_idle(option: str, given: object, served: dict[str, object]) -> None:
    """Refuse an option, with a `ConfigError`, that does nothing without one of those it serves."""
    if given is not None and not any(served.values()):
        raise ConfigError(
            f"{option} does nothing without {' or '.join(served)}; add that or leave it out"
        )


def _default_picture(file: Path) -> Path:
    """Return the name of the picture beside an exported file; raise if it cannot be written."""
    picture = file.with_name(f"{file.name}.worst.png")
    _check_picture(picture, "output")
    return picture


def _compare(
    file: Path,
    checkpoint: Checkpoint,
    data: DataConfig,
    picture: Path,
    *,
    as_json: bool = False,
    **choices: Any,
) -> None:
    """Verify a file, print the result and draw its worst image; exit with 1 if it does not pass.

    `choices` are further arguments of `eseg.deploy.verify.verify.verify`.
    """
    from eseg.deploy.verify import verification as report
    from eseg.deploy.verify.verify import verify as run
    from eseg.reports.picture_sheet import save_picture

    with RichReporter(err=as_json) as reporter:
        result = run(file, checkpoint, data, reporter=reporter, **choices)
    document = result.to_dict() | {"picture": str(picture)}
    table, notes = report.verification_table(result), report.verification_notes(result)
    print_result(document, [table], notes, as_json=as_json)
    save_picture(report.worst_picture(result), picture)
    if result.failure is not None:
        complain(f"{file}: {result.failure}; see {picture}")
        raise typer.Exit(1)
    if not as_json:
        print_line(f"passed; worst image: {picture}")
