"""From a checkpoint to one file that other programs run: ONNX, OpenVINO or AOTInductor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, Literal, NamedTuple

import torch

from eseg import __version__
from eseg.checkpoint import Checkpoint, load_checkpoint, weights_digest
from eseg.choices import Format, Outputs
from eseg.config import to_plain
from eseg.deploy.export.aot_format import write_aot
from eseg.deploy.export.onnx_format import narrow_onnx, onnx_model, save_onnx
from eseg.deploy.export.openvino_format import narrow_openvino, openvino_model, save_openvino
from eseg.deploy.export.pixel_network import Layout, PixelNetwork
from eseg.errors import ExportError
from eseg.models.graph import MAX_SIDE
from eseg.runtime.network_info import ExportInfo, Precision
from eseg.runtime.writing import replacing

SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2"}
"""How the files of each format end; OpenVINO puts a `.bin` beside its `.xml`."""


class GraphFormat(NamedTuple):
    """How a format that keeps a graph is written; `pt2` keeps machine code and is on its own.

    Attributes:
        build: A network as the format's model, for images of one size or of every size.
        narrow: Makes such a model one for a single size, in place.
        save: Writes a model with its description; returns the files, the one that is opened last.
        normalise: The layout of the image in which the format's engine normalises it fastest.
    """

    build: Callable[[PixelNetwork, tuple[int, int] | None], Any]
    narrow: Callable[[Any, tuple[int, int]], None]
    save: Callable[[Any, Path, ExportInfo], list[Path]]
    normalise: Layout


GRAPH_FORMATS: dict[Format, GraphFormat] = {
    "onnx": GraphFormat(onnx_model, narrow_onnx, save_onnx, "planes"),
    "openvino": GraphFormat(openvino_model, narrow_openvino, save_openvino, "pixels"),
}


def export_checkpoint(
    checkpoint: str | Path | Checkpoint,
    output: Path,
    *,
    format: Format,  # noqa: A002 - as on the command line
    size: tuple[int, int] | None = None,
    outputs: Outputs = "logits",
    precision: Literal["fp32", "fp16"] = "fp32",
    device: torch.device | str = "cpu",
) -> Path:
    """Write a trained network, folded, as one file that takes a uint8 image and normalises it.

    What the file says of itself is in `ExportInfo`. A file that was there before is replaced once
    the new one is complete.

    Args:
        checkpoint: The network, or the file that holds it.
        output: Where to write; its suffix is that of the format.
        format: `onnx` for ONNX Runtime and TensorRT, `openvino`, or `pt2` for AOTInductor.
        size: The one (height, width) that the file shall take, for speed; None for every size.
        outputs: `logits`, small scores of which the labels stage makes labels fastest, or `labels`
            at the size of the image, made within the graph.
        precision: `fp32`, or `fp16` for devices that compute in it.
        device: For what to compile a `pt2`; the other formats do not depend on it.

    Returns:
        The file, absolute.

    Raises:
        CheckpointError: The checkpoint cannot be read or used.
        ExportError: A package or a compiler is missing, a value makes no sense, or the file cannot
            be written.
    """
    checkpoint = opened(checkpoint)
    check_request(output, format, size)
    network = checkpoint.build_model(device)
    info = describe(checkpoint, size=size, outputs=outputs, precision=precision)
    half = precision == "fp16"
    with workshop(output) as folder:
        path = folder / output.name
        if format == "pt2":
            files = write_aot(PixelNetwork(network, outputs=outputs, half=half), path, info)
        else:
            tools = GRAPH_FORMATS[format]
            # OpenVINO stores float16 itself, and chooses its arithmetic when it loads a file.
            half = half and format != "openvino"
            pixels = PixelNetwork(network, outputs=outputs, half=half, normalise=tools.normalise)
            model = tools.build(pixels, size)
            with writing(output):
                files = tools.save(model, path, info)
        publish(files, output)
    return output.resolve()


def default_output(
    checkpoint: Path,
    *,
    format: Format,  # noqa: A002 - as on the command line
    size: tuple[int, int] | None = None,
    outputs: Outputs = "logits",
    precision: Precision = "fp32",
) -> Path:
    """A name beside the checkpoint that says what the file is: `best_1024x2048_int8.xml`."""
    parts = [checkpoint.stem]
    if size is not None:
        parts.append("{}x{}".format(*size))
    if outputs != "logits":
        parts.append(outputs)
    if precision != "fp32":
        parts.append(precision)
    return checkpoint.with_name("_".join(parts) + SUFFIXES[format])


def opened(checkpoint: str | Path | Checkpoint) -> Checkpoint:
    """The checkpoint itself, of a network that can be exported.

    Raises:
        CheckpointError: The file cannot be read or used.
        ExportError: The network does not take RGB images.
    """
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = load_checkpoint(checkpoint)
    if checkpoint.model.in_channels != 3:
        raise ExportError(
            "exported files take RGB images; this network takes "
            f"{checkpoint.model.in_channels} channels (model.in_channels)"
        )
    return checkpoint


def check_request(
    output: Path,
    format: Format,  # noqa: A002 - as on the command line
    size: tuple[int, int] | None,
) -> None:
    """Refuse what cannot be meant before anything is computed.

    Raises:
        ExportError: The suffix is another format's, or the size is out of range.
    """
    if output.suffix != SUFFIXES[format]:
        raise ExportError(f"{output}: files of --format {format} end in {SUFFIXES[format]}")
    if size is not None and not all(1 <= side <= MAX_SIDE for side in size):
        raise ExportError(f"--size {size[0]}x{size[1]}: sides are from 1 to {MAX_SIDE} pixels")


def describe(
    checkpoint: Checkpoint,
    *,
    size: tuple[int, int] | None = None,
    outputs: Outputs = "logits",
    precision: Precision = "fp32",
) -> ExportInfo:
    """What the file made of a checkpoint says of itself."""
    return ExportInfo(
        names=checkpoint.classes.names,
        palette=checkpoint.classes.colours,
        outputs=outputs,
        size=size,
        stride=1 << checkpoint.model.min_level,
        precision=precision,
        model=to_plain(checkpoint.model),
        step=checkpoint.step,
        source=weights_digest(checkpoint.weights),
        eseg=__version__,
        # A file for one size is given that size, so that there is nothing left to resize.
        resize=checkpoint.resize if size is None else None,
    )


@contextmanager
def workshop(output: Path) -> Iterator[Path]:
    """A folder beside the output to build it in, gone afterwards.

    Raises:
        ExportError: The folder of the output is missing or cannot be written; or files that tools
            need on the way cannot be, which go elsewhere.
    """
    with writing(output):
        folder = TemporaryDirectory(prefix=".eseg-", dir=output.parent)
    try:
        with folder as name:
            yield Path(name)
    except OSError as error:
        raise ExportError(
            f"{output}: cannot be made ({error}); files needed on the way go to {gettempdir()}: "
            "make room there, or name another folder in the environment variable TMPDIR"
        ) from error


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """Say what to do, in an `ExportError`, where the output cannot be written."""
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"{output}: cannot be written ({error.strerror or error}); choose another --output"
        ) from error


def publish(files: list[Path], output: Path) -> None:
    """Give finished files their place beside `output`, replacing those that were there.

    Several cannot be replaced at once. The one that is opened is taken away first and comes last:
    whoever ends the process in between leaves nothing that opens, rather than a graph with the
    weights of another.

    Args:
        files: The files, the one that is opened last.
        output: The wanted name of the latter.

    Raises:
        ExportError: A file cannot be moved there.
    """
    with writing(output):
        if len(files) > 1:
            output.unlink(missing_ok=True)
        for file in files:
            with replacing(output.with_name(file.name)) as unfinished:
                file.replace(unfinished)
