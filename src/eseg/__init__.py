"""ESeg: semantic segmentation with a rich multi-scale feature space (P2-P9) and BiFPN."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eseg.models import ESeg, ModelConfig, create_model, list_models
    from eseg.runtime.predictor import Predictor

__version__ = "0.1.0"
__all__ = ["ESeg", "ModelConfig", "Predictor", "__version__", "create_model", "list_models"]

_HOMES = {
    "ESeg": "eseg.models",
    "ModelConfig": "eseg.models",
    "Predictor": "eseg.runtime.predictor",
    "create_model": "eseg.models",
    "list_models": "eseg.models",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used: `import eseg` alone needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'eseg' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
