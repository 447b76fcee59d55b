"""Names that users choose among: formats, engines and kinds of arithmetic.

Nothing else is imported here, so that the command line lists them without loading torch.
"""

from __future__ import annotations

from typing import Literal

Precision = Literal["auto", "fp32", "bf16", "fp16"]
"""Arithmetic to compute in; `auto` is bf16 on GPUs that have it and fp32 elsewhere."""

Format = Literal["onnx", "openvino", "pt2"]
"""Formats of exported files."""

Int8Format = Literal["onnx", "openvino"]
"""Formats that 8-bit files are written in."""

Outputs = Literal["logits", "labels"]
"""Outputs of an exported network."""

FilePrecision = Literal["fp32", "fp16", "int8"]
"""Arithmetic that a file was exported in."""

ExportEngine = Literal["onnxruntime", "openvino", "aotinductor"]
"""Engines that run exported files."""

EngineName = Literal["torch", "compile", ExportEngine]
"""Engines that run checkpoints, then those that run exported files."""

Family = Literal["all", "lite", "full"]
"""Groups of presets."""
