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
from eseg.config.optimizers import OPTIMIZERS, SCHEDULES, OptimConfig
from eseg.config.schema import (
    STREETS,
    DataConfig,
    InitConfig,
    PseudoConfig,
    RunConfig,
    TrainConfig,
)
from eseg.config.yaml_text import dump_yaml

__all__ = [
    "NAMED_SETS",
    "OPTIMIZERS",
    "SCHEDULES",
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
