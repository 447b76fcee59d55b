"""Networks compiled ahead of time by torch (AOTInductor, `.pt2`) as engines."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from eseg.devices import choose_device
from eseg.engines.torch_engine import TorchDevice, as_labels
from eseg.engines.upsampling_torch import upsample_labels
from eseg.errors import EngineError, ExportFileError
from eseg.runtime.engine import Engine, EngineOptions, Labels
from eseg.runtime.network_info import KEY, NetworkInfo

_DEVICE_KEY = "AOTI_DEVICE_KEY"
"""Where torch's own metadata names the kind of device that a package was compiled for."""


class AotInductorEngine(TorchDevice, Engine):
    """An AOTInductor package; as it holds machine code, load only files that you trust."""

    name = "aotinductor"

    def __init__(self, path: Path, options: EngineOptions) -> None:
        """Load a package.

        Raises:
            DeviceError: The device does not exist.
            EngineError: The package was compiled for another kind of device or precision.
            ExportFileError: The file is damaged, of another origin or of a newer version.
        """
        if not _is_package(path):
            raise ExportFileError(
                f"{path}: not a .pt2 package, or damaged; copy or export it again"
            )
        chosen = None if options.device is None else choose_device(options.device)
        index = -1 if chosen is None or chosen.index is None else chosen.index
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        try:
            self._network = torch._inductor.aoti_load_package(str(path), device_index=index)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise ExportFileError(
                f"{path}: torch cannot load it ({reason}); it may be damaged or compiled for "
                "another machine or torch: export it again here"
            ) from None
        metadata = self._network.get_metadata()
        self.source = str(path)
        self.info = NetworkInfo.from_json(metadata.get(KEY), path)
        kind = metadata[_DEVICE_KEY]
        if chosen is not None and chosen.type != kind:
            raise EngineError(
                f"{path}: was compiled for {kind} and cannot run on {options.device}; export it "
                f"again with `device` {options.device}"
            )
        if options.precision not in ("auto", self.info.precision):
            raise EngineError(
                f"{path}: was compiled for {self.info.precision}, not {options.precision}; export "
                "it again"
            )
        self.precision = self.info.precision
        self.device = chosen or choose_device(kind)

    def preprocess(self, images: np.ndarray) -> UInt8[Tensor, "1 height width 3"]:
        """Bring images to size and to the device; see `Engine.preprocess`."""
        # The machine code itself does not check the size.
        images = np.require(super().preprocess(images), requirements=["C", "W"])  # as torch wants
        return torch.from_numpy(images).to(self.device)

    @torch.inference_mode()
    def network(self, x: Tensor) -> Tensor:
        """Run the network."""
        return self._network(x)

    @torch.inference_mode()
    def labels(
        self, output: Tensor, size: tuple[int, int], *, with_confidence: bool = False
    ) -> Labels:
        """Make labels on the device; see `Engine.labels`."""
        if self.info.outputs == "labels":
            return super().labels(output.cpu().numpy(), size, with_confidence=with_confidence)
        return as_labels(*upsample_labels(output, size, with_confidence=with_confidence))

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return the network's own output; see `Engine.logits`."""
        self.require_logits("logits")
        return self.network(self.preprocess(images)).cpu().numpy()


def open_network(path: Path, _: str, options: EngineOptions) -> AotInductorEngine:
    """Load a `.pt2` file."""
    return AotInductorEngine(path, options)


def _is_package(path: Path) -> bool:
    """Return True if torch can be asked to load it: other archives crashed some of its versions."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("data/aotinductor/" in name for name in archive.namelist())
