"""Export of a checkpoint as one file that other programs run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Literal

import torch

from eseg.checkpoint import Checkpoint, load_checkpoint
from eseg.choices import FilePrecision, Outputs
from eseg.deploy.export.aot_format import write_aot
from eseg.deploy.export.onnx_format import write_onnx
from eseg.deploy.export.openvino_format import write_openvino
from eseg.errors import ExportError, OutputError
from eseg.models import ESeg
from eseg.models.graph import MAX_SIDE
from eseg.runtime.engine_table import EXPORT_FORMATS
from eseg.runtime.network_info import NetworkInfo
from eseg.runtime.writing import output_errors, replacing

WRITERS: dict[str, Callable[[ESeg, Path, NetworkInfo], list[Path]]] = {
    "onnx": write_onnx,
    "openvino": write_openvino,
    "pt2": write_aot,
}
"""Functions that write a network with its description in each of `EXPORT_FORMATS`.

They return the files that they wrote, the one that is opened last.
"""


def export(
    checkpoint: str | Path | Checkpoint,
    output: str | Path | None = None,
    *,
    format: str = "onnx",  # noqa: A002 - as on the command line
    size: tuple[int, int] | None = None,
    outputs: Outputs = "logits",
    precision: Literal["fp32", "fp16"] = "fp32",
    device: torch.device | str = "cpu",
) -> Path:
    """Write a trained network, folded, as one file that takes a uint8 image and normalises it.

    Its description, a `NetworkInfo`, is inside. A file that was there before is replaced once the
    new one is complete.

    Args:
        checkpoint: The network, or the file that holds it.
        output: File to write; its suffix is that of the format. If None, see `default_output`.
        format: `onnx` for ONNX Runtime and TensorRT, `openvino`, or `pt2` for AOTInductor.
        size: The one (height, width) that the file takes, for speed; None for every size.
        outputs: `logits`, small scores of which the labels stage makes labels fastest, or `labels`
            at the size of the image, made within the graph.
        precision: `fp32`, or `fp16` for devices that compute in it.
        device: Device that a `pt2` is compiled for; the other formats do not depend on it.

    Returns:
        The file, absolute.

    Raises:
        CheckpointError: The checkpoint cannot be read, or its network does not take RGB.
        ExportError: A package or a compiler is missing, or a value makes no sense.
        OutputError: The file cannot be written.
    """
    if output is None:
        if isinstance(checkpoint, Checkpoint):
            raise ExportError("`output` is needed for a checkpoint that is loaded already")
        output = default_output(
            Path(checkpoint), format=format, size=size, outputs=outputs, precision=precision
        )
    output = Path(output)
    check_request(output, format, size)
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = load_checkpoint(checkpoint)
    checkpoint.require_rgb()
    network = checkpoint.build_model(device)
    info = checkpoint.describe(size=size, outputs=outputs, precision=precision)
    with staging_dir(output) as folder:
        publish(WRITERS[format](network, folder / output.name, info), output)
    return output.resolve()


def default_output(
    checkpoint: Path,
    *,
    format: str,  # noqa: A002 - as on the command line
    size: tuple[int, int] | None = None,
    outputs: Outputs = "logits",
    precision: FilePrecision = "fp32",
) -> Path:
    """Name a file beside the checkpoint after its content: `best_1024x2048_int8.xml`."""
    parts = [checkpoint.stem]
    if size is not None:
        parts.append("{}x{}".format(*size))
    parts += [part for part in (outputs, precision) if part not in ("logits", "fp32")]
    return checkpoint.with_name("_".join(parts) + _suffix_of(format))


def check_request(output: Path, format: str, size: tuple[int, int] | None) -> None:  # noqa: A002
    """Raise `ExportError` for an unknown format, another format's suffix, or an extreme size."""
    suffix = _suffix_of(format)
    if output.suffix != suffix:
        raise ExportError(f"{output}: files of `format` {format} end in {suffix}")
    if size is not None and not all(1 <= side <= MAX_SIDE for side in size):
        raise ExportError(f"`size` {size[0]}x{size[1]}: sides are from 1 to {MAX_SIDE} pixels")


def _suffix_of(format: str) -> str:  # noqa: A002
    if format not in WRITERS:
        raise ExportError(f"no `format` {format!r}; there are {', '.join(WRITERS)}")
    return EXPORT_FORMATS[format].suffix


@contextmanager
def staging_dir(output: Path) -> Iterator[Path]:
    """Make a folder beside the output to build it in; it is gone afterwards.

    Raises `OutputError` if it cannot be made, or if temporary files, which go elsewhere, cannot be.
    """
    with output_errors(output):
        folder = TemporaryDirectory(prefix=".eseg-", dir=output.parent)
    try:
        with folder as name:
            yield Path(name)
    except OSError as error:
        raise OutputError(
            f"{output}: cannot be made ({error}); temporary files go to {gettempdir()}: make room "
            "there or beside the output, or name another folder in the environment variable TMPDIR"
        ) from error


def publish(files: list[Path], output: Path) -> None:
    """Move finished files to their place beside `output`, replacing those that were there.

    Several cannot be replaced at once. The one that is opened, the last of `files`, is taken away
    first and comes last: whoever ends the process in between leaves nothing that opens, rather than
    a graph with the weights of another. Raises `OutputError` if a file cannot be moved.
    """
    with output_errors(output):
        if len(files) > 1:
            output.unlink(missing_ok=True)
        for file in files:
            with replacing(output.with_name(file.name)) as unfinished:
                file.replace(unfinished)
