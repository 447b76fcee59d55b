"""Run exported networks without torch: NumPy, Pillow and ONNX Runtime or OpenVINO are all it takes.

Example:
    >>> from eseg.runtime import Predictor
    >>> predict = Predictor("street.onnx")
    >>> predict("street.jpg").overlay().save("overlay.png")
"""

from eseg.runtime.images import ImageError
from eseg.runtime.metadata import ExportInfo, RuntimeFileError
from eseg.runtime.predictor import Predictor
from eseg.runtime.segmentation import Segmentation
from eseg.runtime.sessions import EngineError

__all__ = [
    "EngineError",
    "ExportInfo",
    "ImageError",
    "Predictor",
    "RuntimeFileError",
    "Segmentation",
]
