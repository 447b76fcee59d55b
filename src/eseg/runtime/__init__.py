"""Run exported networks without torch: NumPy, Pillow and ONNX Runtime or OpenVINO are all it takes.

Example:
    >>> from eseg.runtime import Predictor
    >>> predict = Predictor("street.onnx")
    >>> predict("street.jpg").overlay().save("overlay.png")
"""

from eseg.errors import EngineError, ExportFileError, ImageError
from eseg.runtime.network_info import ExportInfo
from eseg.runtime.predictor import Predictor
from eseg.runtime.segmentation import Segmentation

__all__ = [
    "EngineError",
    "ExportFileError",
    "ExportInfo",
    "ImageError",
    "Predictor",
    "Segmentation",
]
