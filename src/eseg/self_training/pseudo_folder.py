"""The folder of pseudo-labels: one mask per image, and all it takes to train on them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from jaxtyping import Float32, UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from eseg.errors import DataError
from eseg.runtime.class_table import IGNORE_INDEX, ClassTable
from eseg.runtime.pictures import palette_image
from eseg.runtime.writing import remove_unfinished, replacing
from eseg.training.run_settings import is_begun, write_settings

_COUNTS = "eseg pseudo-label"
"""Name of the PNG text in which a mask says how many pixels its teacher gave each class, and how
many of them were kept: in the file itself no interruption can lose or double it."""

_IMAGES = "images"
"""The key of the settings that says where the images lay when the work began."""


class PixelCounts(NamedTuple):
    """Pixels of one image or many.

    Attributes:
        predicted: Pixels per class as the teacher labelled them.
        kept: Those of them that it was sure of.
    """

    predicted: np.ndarray
    kept: np.ndarray


class PseudoFolder:
    """Where the pseudo-labels of one folder of images are.

    Attributes:
        path: The folder.
        images: The folder of the images.
        classes: The teacher's classes.
        dataset: The YAML of a data set that pairs the images with their labels; it is there once
            all of them are.
        report: What `pseudo_report` writes about them.
        sheet: Some of them as pictures.

    Raises:
        DataError: The folder cannot be written; so may all methods that write.
    """

    def __init__(self, path: Path, images: Path, classes: ClassTable) -> None:
        self.path, self.images, self.classes = path.resolve(), images.resolve(), classes
        self.dataset = self.path / "dataset.yaml"
        self.report = self.path / "report.json"
        self.sheet = self.path / "sheet.png"
        self._labels, self._confidence = self.path / "labels", self.path / "confidence"
        self._settings = self.path / "settings.json"
        self._list = self.path / "pairs.txt"

    def label(self, name: Path) -> Path:
        """The mask of an image, whose path below `images` is given."""
        return (self._labels / name).with_suffix(".png")

    def confidence(self, name: Path) -> Path:
        """The probabilities of that mask's labels."""
        return (self._confidence / name).with_suffix(".png")

    def begin(self, settings: Mapping[str, Any], names: Sequence[Path]) -> None:
        """Note the settings, or make sure that work done before was done with the same.

        Only one process may call this, within `sole_writer`.

        Args:
            settings: What the labels are made with, and where the `images` lie, which may change.
            names: Every image's path below `images`.

        Raises:
            DataError: The folder was begun with other settings or for other images, or holds
                something else.
        """
        expected = {self.label(name) for name in names}
        with self.writing():
            if not self.is_begun(settings):
                if self._labels.exists():
                    raise DataError(
                        f"{self._labels} is there already, but not from `eseg pseudo-label`; "
                        "choose another --output"
                    )
                write_settings(self._settings, settings)
            self._remove_unfinished()
            for label in self._labels.rglob("*.png"):
                if label not in expected:
                    raise DataError(
                        f"{label} belongs to no image in {self.images}: name the folder that these "
                        "labels were made for, remove those whose images are gone, or choose "
                        "another --output"
                    )

    def require_listable(self, names: Iterable[Path]) -> None:
        """Refuse images that `write_dataset` could not name, before anything is labelled.

        Args:
            names: Every image's path below `images`.

        Raises:
            DataError: The list of a data set cannot hold a name.
        """
        for name in names:
            self._pair(name)

    def is_begun(self, settings: Mapping[str, Any]) -> bool:
        """Whether the folder was begun, with these settings.

        Raises:
            DataError: It was begun with others.
        """
        remedy = "choose another --output, or remove that folder to make all labels anew"
        return is_begun(self._settings, settings, remedy, may_change=(_IMAGES,))

    def write(
        self,
        name: Path,
        labels: UInt8[np.ndarray, "height width"],
        predicted: UInt8[np.ndarray, "height width"],
        confidence: Float32[np.ndarray, "height width"] | None,
    ) -> None:
        """Write what belongs to one image; the mask comes last and means that all is there.

        Args:
            name: The image's path below `images`.
            labels: Class ids, 255 where the teacher was not sure.
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
                _save_png(grey, self.confidence(name))
            _save_png(palette_image(labels, self.classes.colours), self.label(name), text)

    def counts(self, name: Path) -> PixelCounts:
        """What `write` noted about an image.

        Raises:
            DataError: The mask is not one that `write` made for these classes.
        """
        path = self.label(name)
        try:
            with Image.open(path) as picture:
                noted = json.loads(picture.info[_COUNTS])
            counts = PixelCounts(np.array(noted["predicted"]), np.array(noted["kept"]))
            if not counts.predicted.shape == counts.kept.shape == (len(self.classes),):
                raise ValueError("of other classes")
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}: not a file of `eseg pseudo-label`, or damaged ({error}); remove it and "
                "start again, which makes it anew"
            ) from error
        return counts

    def write_dataset(self, names: Sequence[Path]) -> None:
        """Write `dataset`, with the images of these names and their masks as its split `train`."""
        root = self._root
        pairs = "".join(f"{self._pair(name)}\n" for name in names)
        described = {
            "name": "pseudo-labels",
            "root": Path(os.path.relpath(root, self.path)).as_posix(),
            "splits": {"train": {"list_file": self._list.relative_to(root).as_posix()}},
            "classes": [
                {"name": name, "colour": list(colour)}
                for name, colour in zip(self.classes.names, self.classes.colours, strict=True)
            ],
            "ignore_index": IGNORE_INDEX,
        }
        with self.writing():
            with replacing(self._list) as temporary:
                temporary.write_text(pairs, encoding="utf-8")
            with replacing(self.dataset) as temporary:
                text = yaml.safe_dump(described, sort_keys=False, allow_unicode=True)
                temporary.write_text(text, encoding="utf-8")

    def fingerprint(self, names: Sequence[Path]) -> str:
        """A hash of what the pseudo-labels were made with, and of which images have some.

        Where images and labels lie has no say in it.

        Args:
            names: The images that have labels, by their path below `images`.

        Raises:
            DataError: The settings are gone.
        """
        try:
            settings = json.loads(self._settings.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: not complete ({error}); start again") from error
        settings[_IMAGES] = sorted(name.as_posix() for name in names)
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    @property
    def _root(self) -> Path:
        """The folder that the paths of the data set are relative to."""
        return Path(os.path.commonpath([self.path, self.images]))

    def _pair(self, name: Path) -> str:
        """The line of an image and its mask in the list of the data set.

        Raises:
            DataError: The list cannot hold the name.
        """
        image, mask = (
            path.relative_to(self._root).as_posix()
            for path in (self.images / name, self.label(name))
        )
        for path in (image, mask):
            is_utf8 = path.encode(errors="ignore").decode() == path
            if not is_utf8 or "\t" in path or path.splitlines() != [path]:
                raise DataError(
                    f"{path!r}: tabs, line breaks and bytes that are no UTF-8 cannot stand in the "
                    "list of a data set; rename it"
                )
        # Without the ./ a name with a blank or # in front would be read without it, or as a remark.
        return f"./{image}\t./{mask}"

    def _remove_unfinished(self) -> None:
        """Remove what killed processes left beside the files they were writing."""
        for path in (self._settings, self._list, self.dataset, self.report, self.sheet):
            remove_unfinished(path)
        for folder in (self._labels, self._confidence):
            for leftover in folder.rglob(".*.png.*"):
                remove_unfinished(leftover.with_name(leftover.stem[1:]))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn what the disk refuses into one clear error."""
        try:
            yield
        except OSError as error:
            raise DataError(
                f"{self.path}: cannot be written ({error}); make room or mend it and start again, "
                "which goes on from here, or choose another --output"
            ) from error


def _save_png(picture: Image.Image, path: Path, text: PngInfo | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=text)
