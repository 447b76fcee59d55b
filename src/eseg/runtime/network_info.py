"""Description of a network: classes, colours, sizes, and the origin of its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast, get_args

from eseg.choices import FilePrecision, Outputs
from eseg.errors import ExportFileError
from eseg.runtime.resizing import ResizeConfig

SCHEMA = 1
"""Version of the text that `NetworkInfo` writes; files of a newer one are refused."""

KEY = "eseg"
"""Name under which every format keeps the text."""


@dataclass(frozen=True)
class NetworkInfo:
    """All that is needed to run a network.

    Every exported network takes one `image`, uint8 RGB (1, height, width, 3), and normalises it
    itself.

    Attributes:
        names: Class names; a label is a position in them.
        palette: One RGB colour per class, 0-255.
        outputs: `logits` for float32 (1, classes, height / stride, width / stride), the sides
            rounded up; `labels` for uint8 (1, height, width).
        size: The one (height, width) in pixels that the file accepts, or None for any size.
        stride: Pixels per cell of the logits along each axis.
        precision: Arithmetic of the network.
        model: Config of the network in plain form.
        step: Optimiser steps behind the weights.
        source: SHA-256 of the weights as the checkpoint holds them, in hexadecimal.
        eseg: Version of eseg that wrote the file.
        resize: Size that images are brought to first, as in training; labels are then made at the
            images' own size. None for images as they are.
    """

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    outputs: Outputs
    size: tuple[int, int] | None
    stride: int
    precision: FilePrecision
    model: dict[str, Any]
    step: int
    source: str
    eseg: str
    resize: ResizeConfig | None = None

    def __post_init__(self) -> None:
        if not self.names or len(self.names) != len(self.palette):
            raise ValueError(f"{len(self.names)} class names for {len(self.palette)} colours")
        if self.outputs not in get_args(Outputs):
            raise ValueError(f"unknown outputs {self.outputs!r}")
        if self.precision not in get_args(FilePrecision):
            raise ValueError(f"unknown precision {self.precision!r}")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError(f"size {self.size!r} is not a height and a width")
        if self.stride < 1:
            raise ValueError(f"stride {self.stride} is below 1")

    def to_json(self) -> str:
        """Return the text that goes into the file under `KEY`."""
        return json.dumps(
            {
                "schema": SCHEMA,
                "eseg": self.eseg,
                "names": self.names,
                "palette": self.palette,
                "outputs": self.outputs,
                "size": self.size,
                "stride": self.stride,
                "precision": self.precision,
                "model": self.model,
                "step": self.step,
                "source": self.source,
                "resize": None if self.resize is None else asdict(self.resize),
            }
        )

    @classmethod
    def from_json(cls, text: str | None, path: str | Path) -> NetworkInfo:
        """Read the text of a file.

        Args:
            text: What the file holds under `KEY`; None if it holds nothing.
            path: The file, for messages.

        Raises:
            ExportFileError: There is no text, it is damaged, or a newer eseg wrote it.
        """
        if text is None:
            raise ExportFileError(f"{path}: not exported by eseg; write it with `eseg export`")
        try:
            content = json.loads(text)
            schema = int(content["schema"])
        except (ValueError, TypeError, KeyError) as error:
            raise ExportFileError(_damaged(path, error)) from None
        if schema > SCHEMA:
            raise ExportFileError(
                f"{path}: exported by a newer eseg (schema {schema}, this one reads up to "
                f"{SCHEMA}); update eseg"
            )
        try:
            size, resize = content["size"], content.get("resize")
            return cls(
                names=tuple(str(name) for name in content["names"]),
                palette=tuple((int(r), int(g), int(b)) for r, g, b in content["palette"]),
                outputs=content["outputs"],
                size=None if size is None else cast(tuple[int, int], tuple(map(int, size))),
                stride=int(content["stride"]),
                precision=content["precision"],
                model=dict(content["model"]),
                step=int(content["step"]),
                source=str(content["source"]),
                eseg=str(content["eseg"]),
                resize=None if resize is None else ResizeConfig(**resize),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ExportFileError(_damaged(path, error)) from None


def _damaged(path: str | Path, error: Exception) -> str:
    return f"{path}: its description is damaged ({error}); export it again"
