"""The networks of the paper; imports torch, timm and jaxtyping only."""

from eseg.models.build import create_model, list_models, resolve_config
from eseg.models.config import PRESETS, ModelConfig
from eseg.models.eseg import ESeg

__all__ = [
    "PRESETS",
    "ESeg",
    "ModelConfig",
    "create_model",
    "list_models",
    "resolve_config",
]
