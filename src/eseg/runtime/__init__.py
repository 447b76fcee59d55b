"""Runtime without torch: NumPy, Pillow and ONNX Runtime or OpenVINO run exported networks.

Example:
    >>> from eseg.runtime import Predictor
    >>> predict = Predictor("street.onnx")
    >>> predict("street.jpg").overlay().save("overlay.png")
"""

from eseg.errors import EngineError, ExportFileError, ImageError
from eseg.runtime.engine import Engine
from eseg.runtime.engine_table import open_engine
from eseg.runtime.network_info import NetworkInfo
from eseg.runtime.predictor import Predictor
from eseg.runtime.segmentation import Segmentation

__all__ = [
    "Engine",
    "EngineError",
    "ExportFileError",
    "ImageError",
    "NetworkInfo",
    "Predictor",
    "Segmentation",
    "open_engine",
]
