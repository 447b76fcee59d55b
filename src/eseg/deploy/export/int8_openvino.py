"""8-bit quantisation for OpenVINO, by NNCF."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

from eseg.deploy.export.calibration import CalibrationImages
from eseg.deploy.export.quiet import extra_missing, quiet

if TYPE_CHECKING:
    import openvino


def quantise_openvino(model: openvino.Model, images: CalibrationImages) -> openvino.Model:
    """Copy a model so that its convolutions compute in 8 bits.

    Args:
        model: A model for images of every size.
        images: The ranges of the maps are taken from them.

    Raises:
        DataError: An image cannot be read.
        ExportError: NNCF is not installed.
    """
    nncf = _import_nncf()
    with redirect_stdout(io.StringIO()):  # it draws bars of its own over ours
        return nncf.quantize(
            model,
            nncf.Dataset(images),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
        )


def _import_nncf() -> Any:
    """Import NNCF, and keep it from reporting its use to its makers."""
    try:
        with (
            _environment(NNCF_CI="1", CI="true"),
            quiet("torch.utils.cpp_extension"),
        ):
            import nncf
    except ImportError as error:
        raise extra_missing("openvino", "onnx,openvino", error) from None
    nncf.set_log_level(logging.ERROR)
    return nncf


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Give environment variables other values for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
