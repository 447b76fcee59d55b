"""The configuration of runs and data sets: composed here, validated once."""

from eseg.config.datasets import (
    BUILT_IN,
    class_table,
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
from eseg.config.optimizers import OPTIMIZERS, SCHEDULES, OptimConfig
from eseg.config.reading import dump_yaml
from eseg.config.schema import (
    STREETS,
    DataConfig,
    InitConfig,
    Precision,
    PseudoConfig,
    RunConfig,
    TrainConfig,
)

__all__ = [
    "BUILT_IN",
    "OPTIMIZERS",
    "SCHEDULES",
    "STREETS",
    "DataConfig",
    "InitConfig",
    "OptimConfig",
    "Precision",
    "PseudoConfig",
    "RunConfig",
    "TrainConfig",
    "class_table",
    "dump_yaml",
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
