"""ESeg: semantic segmentation with a rich multi-scale feature space (P2-P9) and BiFPN.

The public API; its parts are imported when they are first used, so that `import eseg` needs no
torch, and `eseg.Predictor` with an exported file needs none either.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eseg.deploy.export.export import export
    from eseg.errors import EsegError
    from eseg.inference.evaluate import evaluate
    from eseg.models import ESeg, ModelConfig, create_model, list_models
    from eseg.runtime.predictor import Predictor
    from eseg.runtime.segmentation import Segmentation
    from eseg.training.trainer import train

__version__ = "0.1.0"

_HOMES = {
    "ESeg": "eseg.models",
    "EsegError": "eseg.errors",
    "ModelConfig": "eseg.models",
    "Predictor": "eseg.runtime.predictor",
    "Segmentation": "eseg.runtime.segmentation",
    "create_model": "eseg.models",
    "evaluate": "eseg.inference.evaluate",
    "export": "eseg.deploy.export.export",
    "list_models": "eseg.models",
    "train": "eseg.training.trainer",
}

__all__ = [
    "ESeg",
    "EsegError",
    "ModelConfig",
    "Predictor",
    "Segmentation",
    "__version__",
    "create_model",
    "evaluate",
    "export",
    "list_models",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'eseg' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
