"""Reading and writing of the configs of runs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic_core import to_jsonable_python

from eseg.config.datasets import class_table
from eseg.config.named_sets import NAMED_SETS
from eseg.config.parsing import parse
from eseg.config.schema import RunConfig
from eseg.config.yaml_text import dump_yaml, errors_at, parse_yaml, read_yaml
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

parse_model_config = partial(parse, ModelConfig)
parse_streets_config = partial(parse, StreetsConfig)
parse_resize_config = partial(parse, ResizeConfig)
"""Check the plain forms of configs, as checkpoints carry them; raise `ConfigError` for wrong keys
or values."""


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
    with errors_at(path):
        return parse_config(raw)


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
    with errors_at("data.dataset"):
        classes = len(class_table(config.data))
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
    if config.model.in_channels != 3:
        raise ConfigError(
            f"model.in_channels: data sets give 3 channels (RGB), not {config.model.in_channels}; "
            "other counts are for eseg.create_model alone"
        )
    return dataclasses.replace(config, model=dataclasses.replace(config.model, num_classes=classes))


def to_plain(config: Any) -> dict[str, Any]:
    """Convert a config to values of YAML and JSON; `parse_config` reads them back."""
    return to_jsonable_python(config)


def save_config(config: RunConfig, path: Path) -> None:
    """Write the resolved config with every default; raise `OutputError` if that is impossible."""
    with output_errors(path):
        path.write_text(dump_yaml(to_plain(config)), encoding="utf-8")


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
    with errors_at(f"override '{override}'"):
        target[key] = parse_yaml(text)
    _anchor(raw, Path.cwd())  # All earlier paths are absolute already.
