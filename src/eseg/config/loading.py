"""Reading and writing of the configs of runs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic_core import to_jsonable_python

from eseg.config.datasets import class_table
from eseg.config.named_sets import NAMED_SETS
from eseg.config.parsing import parse
from eseg.config.schema import RunConfig
from eseg.config.yaml_text import dump_yaml, parse_yaml, read_yaml
from eseg.errors import ConfigError
from eseg.models import PRESETS, ModelConfig
from eseg.runtime.resizing import ResizeConfig
from eseg.runtime.writing import output_errors
from eseg.streets import StreetsConfig

_PATHS = (
    ("data", "dataset"), ("data", "root"),
    ("data", "pseudo", "dataset"), ("data", "pseudo", "root"),
    ("init", "pretrained_backbone"), ("init", "checkpoint"),
)  # fmt: skip
"""Keys of a run that hold paths; they are made absolute, so that a saved config can be moved."""

RGB = 3


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> RunConfig:
    """Read the YAML of a run.

    Args:
        path: The file; its keys are the fields of `RunConfig`. Paths in it are relative to it.
        overrides: `section.key=value` each, the value as in YAML; paths are relative to the
            working folder.

    Raises:
        ConfigError: Keys or values are wrong, here or in the YAML of the data set.
    """
    path = Path(path)
    raw = read_yaml(path)
    _anchor(raw, path.parent)
    for override in overrides:
        _override(raw, override)
    try:
        return parse_config(raw)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_config(raw: Mapping[str, Any]) -> RunConfig:
    """Check the plain form of a `RunConfig` and fill in presets, defaults and class count.

    Raises:
        ConfigError: Keys or values are wrong, here or in the YAML of the data set.
    """
    model = raw.get("model")
    given = dict(model) if isinstance(model, Mapping) else {}
    preset = PRESETS.get(str(given.get("preset")))
    if preset is not None:
        raw = {**raw, "model": dataclasses.asdict(preset) | given}
    config = parse(RunConfig, raw, extra=((ModelConfig, "preset", Literal[*PRESETS]),))
    try:
        classes = len(class_table(config.data))
    except ConfigError as error:
        raise ConfigError(f"data.dataset: {error}") from None
    if config.model.num_classes != classes and "num_classes" in given:
        raise ConfigError(
            f"model.num_classes: {config.model.num_classes}, but the data set "
            f"{config.data.dataset} has {classes} classes; leave the key out to use that number"
        )
    weights = config.loss.class_weights
    if weights is not None and len(weights) != classes:
        raise ConfigError(
            f"loss.class_weights: {len(weights)} values for {classes} classes; give one per class, "
            "or remove the key for equal weights"
        )
    if config.model.in_channels != RGB:
        raise ConfigError(
            f"model.in_channels: data sets give {RGB} channels (RGB), not "
            f"{config.model.in_channels}; other counts are for eseg.create_model alone"
        )
    return dataclasses.replace(config, model=dataclasses.replace(config.model, num_classes=classes))


def to_plain(config: Any) -> dict[str, Any]:
    """Convert a config to values of YAML and JSON; `parse_config` reads them back."""
    return to_jsonable_python(config)


def save_config(config: RunConfig, path: Path) -> None:
    """Write the resolved config with every default; raise `OutputError` if that is impossible."""
    with output_errors(path):
        path.write_text(dump_yaml(to_plain(config)), encoding="utf-8")


def parse_model_config(raw: Mapping[str, Any]) -> ModelConfig:
    """Check the plain form of a `ModelConfig`, as checkpoints carry it.

    Raises:
        ConfigError: Keys or values are wrong.
    """
    return parse(ModelConfig, raw)


def parse_streets_config(raw: Mapping[str, Any]) -> StreetsConfig:
    """Check the plain form of a `StreetsConfig`, as checkpoints carry it."""
    return parse(StreetsConfig, raw)


def parse_resize_config(raw: Mapping[str, Any]) -> ResizeConfig:
    """Check the plain form of a `ResizeConfig`, as checkpoints carry it."""
    return parse(ResizeConfig, raw)


def _anchor(raw: dict[str, Any], folder: Path) -> None:
    """Make the relative paths in the plain form of a run absolute, starting from a folder."""
    for *sections, key in _PATHS:
        values: Any = raw
        for section in sections:
            values = values.get(section) if isinstance(values, dict) else None
        given = values.get(key) if isinstance(values, dict) else None
        if isinstance(values, dict) and isinstance(given, str) and given not in NAMED_SETS:
            expanded = Path(os.path.expandvars(given)).expanduser()
            values[key] = str((folder / expanded).resolve())


def _override(raw: dict[str, Any], override: str) -> None:
    """Set the value of `section.key=value` in the plain form of a run."""
    place, separator, text = override.partition("=")
    *sections, key = place.split(".")
    if not separator or not all((*sections, key)):
        raise ConfigError(f"override '{override}' is not of the form section.key=value")
    target = raw
    for section in sections:
        if target.get(section) is None:
            target[section] = {}
        target = target[section]
        if not isinstance(target, dict):
            raise ConfigError(f"override '{override}': {section} has no keys")
    try:
        target[key] = parse_yaml(text)
    except ConfigError as error:
        raise ConfigError(f"override '{override}': {error}") from None
    _anchor(raw, Path.cwd())  # All earlier paths are absolute already.
