"""Files for the test servers of official data sets: one PNG of their own ids per image."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from eseg.config import NAMED_SETS, DataConfig
from eseg.data.dataset import SegmentationDataset
from eseg.data.folder import Folder
from eseg.errors import DataError
from eseg.runtime.writing import output_errors


class Submission:
    """A folder of predicted labels for a test server.

    Each image becomes one 8-bit greyscale PNG of its own size, which holds the data set's own ids
    (for Cityscapes those of labelIds files, for ADE20K 1 to 150). All lie in one folder:
    Cityscapes' are named CITY_SEQUENCE_FRAME_labelIds.png, the others as their images.
    """

    def __init__(self, path: Path, data: DataConfig, samples: SegmentationDataset) -> None:
        """Make the folder for one split; files of its samples in it are written over.

        Raises:
            DataError: The data set has no server, or the folder holds other files.
            OutputError: The folder cannot be made.
        """
        official = NAMED_SETS.get(str(data.dataset))
        if official is None or official.server is None:
            known = ", ".join(name for name, one in NAMED_SETS.items() if one.server is not None)
            raise DataError(
                f"`submission` is for the test servers of {known}; {data.dataset} has none, and "
                "`save` writes labels of any data set"
            )
        server = official.server
        assert isinstance(samples, Folder)  # All official data sets are.
        self.path = path
        ids = server.ids or [entry.ids[0] for entry in samples.config.classes]
        self._ids = np.array(ids, np.uint8)
        image_end = samples.config.image_suffix.rpartition(".")[0]
        self._files = {
            name: PurePosixPath(name).name.removesuffix(image_end) + server.suffix
            for name in samples.names
        }
        with output_errors(path, "submission"):
            path.mkdir(parents=True, exist_ok=True)
            others = sorted({file.name for file in path.iterdir()} - {*self._files.values()})
        if others:
            raise DataError(
                f"{path}: holds '{others[0]}'{' and more' if len(others) > 1 else ''}, which does "
                "not belong to this split, and servers take no other files; choose a new folder "
                "for `submission`"
            )

    def write(self, name: str, labels: UInt8[np.ndarray, "height width"]) -> None:
        """Write the labels of a sample, class ids; raise `OutputError` if that is impossible."""
        with output_errors(self.path, "submission"):
            Image.fromarray(self._ids[labels]).save(self.path / self._files[name])
