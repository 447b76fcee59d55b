"""Folder of pseudo-labels: one mask per image, and the data set to train on them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from eseg.config import dump_yaml
from eseg.errors import DataError
from eseg.runtime.class_table import IGNORE_INDEX, ClassTable
from eseg.runtime.pictures import palette_image
from eseg.runtime.writing import output_errors, remove_unfinished, replacing, write_text
from eseg.training.run_settings import is_begun, write_settings

_COUNTS = "eseg pseudo-label"
"""Name of the PNG text with a mask's `counts`: within the file no interruption can lose or double
them."""

_IMAGES = "images"
"""Key of the settings for the folder of the images when the work began."""


class PseudoFolder:
    """Paths and files of the pseudo-labels of one folder of images.

    Methods that write raise an `OutputError` if they cannot.

    Attributes:
        path: The folder.
        images: Folder of the images.
        classes: The teacher's classes.
        dataset: YAML of a data set that pairs the images with their labels; written when all are
            labelled.
        report: JSON of `write_pseudo_report`.
        sheet: Picture of some images and their labels.
    """

    def __init__(self, path: Path, images: Path, classes: ClassTable) -> None:
        self.path, self.images, self.classes = path.resolve(), images.resolve(), classes
        self.dataset = self.path / "dataset.yaml"
        self.report = self.path / "report.json"
        self.sheet = self.path / "sheet.png"
        self._labels, self._confidence = self.path / "labels", self.path / "confidence"
        self._settings = self.path / "settings.json"
        self._list = self.path / "pairs.txt"
        # The paths of the data set are relative to this folder.
        self._root = Path(os.path.commonpath([self.path, self.images]))

    def label(self, name: Path) -> Path:
        """Return the path of an image's mask; `name` is the image's path below `images`."""
        return (self._labels / name).with_suffix(".png")

    def confidence(self, name: Path) -> Path:
        """Return the path of the probabilities of that mask's labels."""
        return (self._confidence / name).with_suffix(".png")

    def begin(self, settings: Mapping[str, Any], names: Sequence[Path]) -> None:
        """Write the settings, or check that earlier work was done with the same; tidy up after it.

        Only one process may call this, within `sole_writer`.

        Args:
            settings: Settings of the labels, and the folder of the images, which may change.
            names: Paths of all images below `images`.

        Raises:
            DataError: The folder was begun with other settings or for other images, or holds
                something else.
        """
        expected = {self.label(name) for name in names}
        with self.writing():
            if not self.is_begun(settings):
                if self._labels.exists():
                    raise DataError(
                        f"{self._labels} exists, but not from `eseg pseudo-label`; choose another "
                        "`output`"
                    )
                write_settings(self._settings, settings)
            for path in (self._settings, self._list, self.dataset, self.report, self.sheet):
                remove_unfinished(path)
            for folder in (self._labels, self._confidence):
                for leftover in folder.rglob(".*.png.*"):
                    remove_unfinished(leftover.with_name(leftover.stem[1:]))
            for label in self._labels.rglob("*.png"):
                if label not in expected:
                    raise DataError(
                        f"{label} belongs to no image in {self.images}: name the folder that these "
                        "labels were made for, remove those without images, or choose another "
                        "`output`"
                    )

    def require_listable(self, names: Iterable[Path]) -> None:
        """Refuse paths of images that the list of `write_dataset` cannot hold.

        Raises:
            DataError: A path has a tab, a line break or bytes that are not UTF-8.
        """
        for name in names:
            self._pair(name)

    def is_begun(self, settings: Mapping[str, Any]) -> bool:
        """Return whether the folder was begun with these settings.

        Raises:
            DataError: It was begun with others.
        """
        remedy = "choose another `output`, or remove that folder to make all labels anew"
        return is_begun(self._settings, settings, remedy, may_change=(_IMAGES,))

    def write(
        self,
        name: Path,
        labels: UInt8[np.ndarray, "height width"],
        predicted: UInt8[np.ndarray, "height width"],
        confidence: Float32[np.ndarray, "height width"] | None,
    ) -> None:
        """Write the files of one image; the mask comes last and means that all are complete.

        Args:
            name: The image's path below `images`.
            labels: Class ids, 255 at or below the threshold.
            predicted: Class ids of all pixels.
            confidence: Probabilities in [0, 1] to write too, or None.
        """
        length = len(self.classes)
        counts = {
            "predicted": np.bincount(predicted.ravel(), minlength=length).tolist(),
            "kept": np.bincount(labels.ravel(), minlength=length)[:length].tolist(),
        }
        text = PngInfo()
        text.add_text(_COUNTS, json.dumps(counts))
        with self.writing():
            if confidence is not None:
                grey = Image.fromarray((confidence * 255).round().astype(np.uint8))
                save_png(grey, self.confidence(name))
            save_png(palette_image(labels, self.classes.colours), self.label(name), text)

    def counts(self, name: Path) -> Int64[np.ndarray, "2 classes"]:
        """Read the pixels that the teacher gave each label, and those of them that were kept.

        Raises:
            DataError: The mask is not one that `write` made for these classes.
        """
        path = self.label(name)
        try:
            with Image.open(path) as picture:
                noted = json.loads(picture.info[_COUNTS])
            counts = np.array([noted["predicted"], noted["kept"]])
            if counts.shape != (2, len(self.classes)):
                raise ValueError("for other classes")
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}: not a file of `eseg pseudo-label`, or damaged ({error}); remove it and "
                "start again, which makes it anew"
            ) from error
        return counts

    def write_dataset(self, names: Sequence[Path]) -> None:
        """Write the YAML of the data set, with these images and their masks as split `train`."""
        pairs = "".join(f"{self._pair(name)}\n" for name in names)
        described = {
            "name": "pseudo-labels",
            "root": Path(os.path.relpath(self._root, self.path)).as_posix(),
            "splits": {"train": {"list_file": self._list.relative_to(self._root).as_posix()}},
            "classes": [
                {"name": name, "colour": list(colour)}
                for name, colour in zip(self.classes.names, self.classes.colours, strict=True)
            ],
            "ignore_index": IGNORE_INDEX,
        }
        with self.writing():
            write_text(self._list, pairs)
            write_text(self.dataset, dump_yaml(described))

    def fingerprint(self, names: Sequence[Path]) -> str:
        """Hash the settings of the pseudo-labels and the labelled images' paths below `images`.

        The folders of images and labels do not affect the hash.

        Raises:
            DataError: The settings cannot be read.
        """
        try:
            settings = json.loads(self._settings.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: not complete ({error}); start again") from error
        settings[_IMAGES] = sorted(name.as_posix() for name in names)
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def _pair(self, name: Path) -> str:
        """Format the line of an image and its mask in the list; raise if it cannot hold them."""
        image = (self.images / name).relative_to(self._root).as_posix()
        mask = self.label(name).relative_to(self._root).as_posix()
        for path in (image, mask):
            is_utf8 = path.encode(errors="ignore").decode() == path
            if not is_utf8 or "\t" in path or path.splitlines() != [path]:
                raise DataError(
                    f"{path!r}: the list of a data set cannot hold tabs, line breaks and bytes "
                    "that are not UTF-8; rename the file"
                )
        # Without ./ a leading blank would be lost, and a leading # would begin a comment.
        return f"./{image}\t./{mask}"

    def writing(self) -> AbstractContextManager[None]:
        """Convert an `OSError` of the block into an `OutputError`."""
        return output_errors(self.path, remedy="make room and start again, which goes on from here")


def save_png(picture: Image.Image, path: Path, text: PngInfo | None = None) -> None:
    """Write a PNG as `replacing` does, with its folder; raise `OSError` if that is impossible."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=text)
