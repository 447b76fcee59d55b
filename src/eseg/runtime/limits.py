"""What an exported file cannot do, said before an engine says it in its own way."""

from __future__ import annotations

from pathlib import Path

from eseg.errors import ExportFileError, ImageError
from eseg.runtime.network_info import ExportInfo


def check_size(info: ExportInfo, path: str | Path, height: int, width: int) -> None:
    """Refuse an image, with an `ImageError`, of another size than the one a file was exported for.

    Args:
        info: What the file says of itself.
        path: The file, for the message.
        height: Pixels of the image from top to bottom.
        width: And from left to right.
    """
    if info.size is not None and info.size != (height, width):
        raise ImageError(
            f"the image has {height}x{width} pixels (height x width), but {path} was exported for "
            f"{info.size[0]}x{info.size[1]}; resize the image, or export with "
            f"--size {height}x{width} or --dynamic"
        )


def check_gives_logits(info: ExportInfo, path: str | Path, wanted: str) -> None:
    """Refuse a file of labels, with a `ExportFileError`, where something more is wanted of it.

    Args:
        info: What the file says of itself.
        path: The file, for the message.
        wanted: What only logits give, for the message: "confidence".
    """
    if info.outputs != "logits":
        raise ExportFileError(
            f"{path}: holds labels only, no {wanted}; export it with --outputs logits"
        )
