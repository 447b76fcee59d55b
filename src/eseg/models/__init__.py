"""The networks of the paper, built with torch, timm and jaxtyping only."""

from eseg.models.build import create_model, list_models, resolve_config
from eseg.models.config import DECODERS, PRESETS, ModelConfig
from eseg.models.eseg import ESeg
from eseg.models.freezing import freeze_encoder

__all__ = [
    "DECODERS",
    "PRESETS",
    "ESeg",
    "ModelConfig",
    "create_model",
    "freeze_encoder",
    "list_models",
    "resolve_config",
]
