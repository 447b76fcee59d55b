"""A network compiled ahead of time by torch (AOTInductor, `.pt2`): images in, labels out."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from eseg.devices import choose_device
from eseg.engines.upsampling_torch import upsample_labels, upsample_labels_with_confidence
from eseg.errors import EngineError, ExportFileError
from eseg.runtime.limits import check_gives_logits, check_size
from eseg.runtime.network_info import KEY, ExportInfo
from eseg.runtime.resizing import labels_at, to_size

_DEVICE_KEY = "AOTI_DEVICE_KEY"
"""Where torch's own metadata names the kind of device that a package was compiled for."""


class PackagedNetwork:
    """An AOTInductor package; as it holds machine code, load only files that you trust.

    Args:
        path: The `.pt2` that `eseg export` wrote on a machine of this kind.
        device: Where to compute; the kind of device must be the one that it was compiled for. If
            None, the first of that kind.
        precision: None, or the one that it was exported in.
        with_confidence: Whether the probability of every label is wanted.

    Attributes:
        info: What the file says of itself.

    Raises:
        DeviceError: The device is not there.
        EngineError: The package was compiled for another kind of device or another precision.
        ExportFileError: The file is missing, damaged, of another origin or of a newer version; or
            confidence is wanted of a file that holds labels only.
    """

    def __init__(
        self, path: Path, *, device: str | None, precision: str | None, with_confidence: bool
    ) -> None:
        self._path, self._with_confidence = path, with_confidence
        if not path.is_file():
            raise ExportFileError(
                f"{path}: no such file; correct the path, or write it: eseg export"
            )
        if not _is_package(path):
            raise ExportFileError(f"{path}: no .pt2 package, or damaged; copy or export it again")
        chosen = None if device is None else choose_device(device)
        index = -1 if chosen is None or chosen.index is None else chosen.index
        try:
            self._network = torch._inductor.aoti_load_package(str(path), device_index=index)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise ExportFileError(
                f"{path}: torch cannot load it ({reason}); it may be damaged or compiled for "
                "another machine or torch: export it again here"
            ) from None
        metadata = self._network.get_metadata()
        self.info = ExportInfo.from_json(metadata.get(KEY), path)
        kind = metadata[_DEVICE_KEY]
        if chosen is not None and chosen.type != kind:
            raise EngineError(
                f"{path}: was compiled for {kind} and cannot run on {device}; export it again with "
                f"--device {device}"
            )
        if precision not in (None, self.info.precision):
            raise EngineError(
                f"{path}: was compiled for {self.info.precision}, not {precision}; export it again"
            )
        self._device = chosen or choose_device(kind)
        if with_confidence:
            check_gives_logits(self.info, path, "confidence")

    @torch.inference_mode()
    def __call__(
        self, images: UInt8[np.ndarray, "batch height width 3"]
    ) -> tuple[
        UInt8[np.ndarray, "batch height width"], Float32[np.ndarray, "batch height width"] | None
    ]:
        """Class ids of RGB images, and their probabilities in (0, 1] if those are wanted.

        Raises:
            ImageError: The images are not of the size that the file takes.
        """
        results = [self._label(image) for image in images]  # packages take one at a time
        labels = np.stack([labels for labels, _ in results])
        confidences = [confidence for _, confidence in results if confidence is not None]
        return labels, np.stack(confidences) if confidences else None

    def _label(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        size = (image.shape[0], image.shape[1])
        image = to_size(image, self.info.resize)
        # The machine code itself does not check it.
        check_size(self.info, self._path, image.shape[0], image.shape[1])
        output = self._network(torch.from_numpy(image)[None].to(self._device))
        if self.info.outputs == "labels":
            return labels_at(output[0].cpu().numpy(), size), None
        if not self._with_confidence:
            return upsample_labels(output, size)[0].cpu().numpy(), None
        labels, confidence = upsample_labels_with_confidence(output, size)
        return labels[0].cpu().numpy(), confidence[0].cpu().numpy()


def _is_package(path: Path) -> bool:
    """Whether torch can be asked to load it: other archives have crashed some of its versions."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("data/aotinductor/" in name for name in archive.namelist())
