"""The configuration of runs and data sets, read from YAML and validated once."""

from eseg.config.datasets import (
    class_table,
    has_files,
    load_dataset,
    open_pseudo_labelled,
    open_split,
)
from eseg.config.loading import (
    load_config,
    parse_config,
    parse_model_config,
    parse_resize_config,
    parse_streets_config,
    save_config,
    to_plain,
)
from eseg.config.named_sets import NAMED_SETS, NamedSet, ServerFiles
from eseg.config.reading import dump_yaml
from eseg.config.schema import (
    STREETS,
    DataConfig,
    InitConfig,
    OptimConfig,
    PseudoConfig,
    RunConfig,
    TrainConfig,
)

__all__ = [
    "NAMED_SETS",
    "STREETS",
    "DataConfig",
    "InitConfig",
    "NamedSet",
    "OptimConfig",
    "PseudoConfig",
    "RunConfig",
    "ServerFiles",
    "TrainConfig",
    "class_table",
    "dump_yaml",
    "has_files",
    "load_config",
    "load_dataset",
    "open_pseudo_labelled",
    "open_split",
    "parse_config",
    "parse_model_config",
    "parse_resize_config",
    "parse_streets_config",
    "save_config",
    "to_plain",
]
