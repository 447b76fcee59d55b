"""Checkpoint files: weights, and what is needed to rebuild the network and to resume training."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eseg import __version__
from eseg.choices import FilePrecision, Outputs
from eseg.config import (
    DataConfig,
    parse_model_config,
    parse_resize_config,
    parse_streets_config,
    to_plain,
)
from eseg.data.transforms import ResizeConfig
from eseg.errors import CheckpointError, ConfigError
from eseg.models import ESeg, ModelConfig, create_model
from eseg.runtime.class_table import ClassTable
from eseg.runtime.network_info import NetworkInfo
from eseg.runtime.writing import output_errors, replacing

SCHEMA = 1
"""Version of the file layout; newer files are refused."""

_FORMAT = "eseg checkpoint"
_KINDS = {"weights": dict, "step": int, "run": dict, "scores": dict, "training": dict}
"""Types of these entries of a file."""


@dataclass(frozen=True)
class Checkpoint:
    """Content of a checkpoint file.

    Attributes:
        model: Architecture of the network.
        classes: Names and colours of its classes.
        weights: State dict for evaluation and export: the averaged weights of the run.
        step: Optimiser steps behind these weights.
        run: The run's config in plain form.
        scores: Scores on the validation split at this step, if it was evaluated.
        training: State needed to resume training; empty in files meant for use.
    """

    model: ModelConfig
    classes: ClassTable
    weights: dict[str, Tensor]
    step: int
    run: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def resize(self) -> ResizeConfig | None:
        """Size that the run resized images to before the network, or None.

        Raises:
            CheckpointError: The run's record of it is damaged.
        """
        raw = (self.run.get("data") or {}).get("resize")
        try:
            return None if raw is None else parse_resize_config(raw)
        except ConfigError as error:
            raise CheckpointError(f"the checkpoint's data.resize is damaged: {error}") from None

    def data_config(self, dataset: Path, root: Path | None = None) -> DataConfig:
        """Describe a data set to evaluate on, a YAML or a built-in name; see `DataConfig`.

        Its `streets` are the scenes of the run.
        """
        raw = (self.run.get("data") or {}).get("streets") or {}
        return DataConfig(dataset=dataset, root=root, streets=parse_streets_config(raw))

    def describe(
        self,
        *,
        size: tuple[int, int] | None = None,
        outputs: Outputs = "logits",
        precision: FilePrecision = "fp32",
    ) -> NetworkInfo:
        """Describe this network, or the exported file that is made of it.

        `size` is the one (height, width) in pixels that the file takes, None for any.
        """
        # A file for one size is given that size, so that there is nothing left to resize.
        resize = self.resize if size is None else None
        source = weights_digest(self.weights)
        info = describe_network(self.model, self.classes, self.step, source=source, resize=resize)
        return replace(info, size=size, outputs=outputs, precision=precision)

    def require_rgb(self) -> None:
        """Raise `CheckpointError` if the network does not take RGB images."""
        if self.model.in_channels != 3:
            raise CheckpointError(
                f"the network takes images of {self.model.in_channels} channels; pictures have 3, "
                "so train it with model.in_channels=3 or call its `logits` with tensors"
            )

    def build_model(self, device: torch.device | str = "cpu") -> ESeg:
        """Build the network in evaluation mode with these weights.

        Raises:
            CheckpointError: The weights are not those of this architecture.
        """
        model = create_model(self.model)
        try:
            model.load_state_dict(self.weights)
        except RuntimeError as error:
            raise CheckpointError(
                f"the checkpoint's weights do not fit its model: {error}"
            ) from None
        return model.to(device).eval()


def describe_network(
    model: ModelConfig,
    classes: ClassTable,
    step: int,
    *,
    source: str = "",
    resize: ResizeConfig | None = None,
) -> NetworkInfo:
    """Describe a network in fp32 for images of every size.

    `step` counts the optimiser steps behind its weights, `source` is their `weights_digest` if
    that is wanted, and images are brought to `resize` first.
    """
    return NetworkInfo(
        names=classes.names,
        palette=classes.colours,
        outputs="logits",
        size=None,
        stride=1 << model.min_level,
        precision="fp32",
        model=to_plain(model),
        step=step,
        source=source,
        eseg=__version__,
        resize=resize,
    )


def save_checkpoint(checkpoint: Checkpoint, path: Path, *, previous: Path | None = None) -> None:
    """Write a checkpoint so that the file is whole or not there, even if the power fails.

    The old file gets the name `previous`; by default it is lost.

    Raises:
        OutputError: The file cannot be written; the old one is untouched.
    """
    content = {
        "format": _FORMAT,
        "schema": SCHEMA,
        "model": to_plain(checkpoint.model),
        "classes": {
            "names": list(checkpoint.classes.names),
            "colours": [list(colour) for colour in checkpoint.classes.colours],
        },
        **{key: getattr(checkpoint, key) for key in _KINDS},
    }
    with (
        output_errors(path),
        replacing(path, previous=previous) as temporary,
        temporary.open("wb") as file,
    ):
        try:
            torch.save(content, file)
        except RuntimeError as error:  # torch's zip writer replaces the OSError of the file
            cause = error.__context__
            raise (cause if isinstance(cause, OSError) else OSError(str(error))) from None


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint onto the CPU; nothing in the file is executed.

    Raises:
        CheckpointError: The file is missing, damaged, of another origin or of a newer version.
    """
    path = Path(path)
    if path.is_dir():
        best = path / "best.pt"
        remedy = f"use {best}" if best.is_file() else "name a file, such as the best.pt of a run"
        raise CheckpointError(f"{path} is a folder; {remedy}")
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; a checkpoint is the best.pt of a run's folder"
        )
    content = _unpickled(path)
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint that eseg wrote")
    if not isinstance(content.get("schema"), int) or content["schema"] < 1:
        raise CheckpointError(f"{path}: damaged: it has no version")
    if content["schema"] > SCHEMA:
        raise CheckpointError(
            f"{path}: written by a newer eseg (schema {content['schema']}, this one reads up to "
            f"{SCHEMA}); update eseg"
        )
    for key, kind in _KINDS.items():
        if not isinstance(content.get(key), kind):
            raise CheckpointError(f"{path}: damaged: '{key}' is not a {kind.__name__}")
    if not isinstance(content["run"].get("data") or {}, dict):
        raise CheckpointError(f"{path}: damaged: 'run.data' is not a dict")
    try:
        return Checkpoint(
            model=parse_model_config(content["model"]),
            classes=ClassTable(
                tuple(content["classes"]["names"]),
                tuple((r, g, b) for r, g, b in content["classes"]["colours"]),
            ),
            **{key: content[key] for key in _KINDS},
        )
    except (KeyError, TypeError, ValueError) as error:  # a ConfigError or DataError is the last
        raise CheckpointError(f"{path}: damaged: {error}") from None


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Compute the SHA-256 of names, types, shapes and values of weights, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _unpickled(path: Path) -> Any:
    """Read the plain values and tensors in a file of `torch.save`."""
    if not os.access(path, os.R_OK):
        raise CheckpointError(f"{path}: no permission to read it")
    try:
        # torch does not compare the archive's checksums: a flipped bit would become a wrong weight.
        # Without an archive it would try its old format, which eseg never wrote.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"wrong checksum of {damaged}")
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # broken bytes can raise anything within torch
        raise CheckpointError(
            f"{path}: damaged, or not a checkpoint that eseg wrote; use another file"
        ) from error
