"""Report on the pseudo-labels of a folder of images, in figures and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eseg.data.reading import read_image
from eseg.reports.picture_sheet import picture_sheet
from eseg.reports.score_report import SHEET_ROWS, format_score
from eseg.reports.table import Table
from eseg.runtime.writing import write_json
from eseg.self_training.pseudo_folder import PseudoFolder, save_png

_FIGURES = ("threshold", "predicted", "kept", "kept_fraction", "share")


@dataclass(frozen=True)
class ClassReport:
    """Pixels of one class.

    Attributes:
        name: Name of the class.
        threshold: Pixels with this probability or less were not kept.
        predicted: Pixels that the teacher gave this label.
        kept: Those of them that were kept.
        share: Share of this class among all kept pixels, in [0, 1].
    """

    name: str
    threshold: float
    predicted: int
    kept: int
    share: float

    @property
    def kept_fraction(self) -> float | None:
        """Share of the predicted pixels that were kept, in [0, 1]; None if there are none."""
        return self.kept / self.predicted if self.predicted else None


@dataclass(frozen=True)
class PseudoReport:
    """Pseudo-labels of a folder of images.

    Attributes:
        dataset: YAML of a data set that pairs the images with their pseudo-labels.
        sheet: Picture of some of them.
        fingerprint: `PseudoFolder.fingerprint` of them.
        images: Number of images with pseudo-labels.
        skipped: Errors of the other images, by their path below the folder.
        images_per_second: Speed of all processes together, reading and writing included, since
            the last interruption.
        classes: Pixels of every class.
    """

    dataset: Path
    sheet: Path
    fingerprint: str
    images: int
    skipped: Mapping[str, str]
    images_per_second: float | None
    classes: tuple[ClassReport, ...]

    @property
    def kept_fraction(self) -> float:
        """Share of all pixels that have a pseudo-label, in [0, 1]."""
        pixels = sum(entry.predicted for entry in self.classes)
        return sum(entry.kept for entry in self.classes) / max(1, pixels)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values for JSON, without paths."""
        return {
            "images": self.images,
            "skipped": dict(self.skipped),
            "images_per_second": self.images_per_second,
            "kept_fraction": self.kept_fraction,
            "classes": {
                entry.name: {key: getattr(entry, key) for key in _FIGURES} for entry in self.classes
            },
        }

    def table(self) -> Table:
        """Return threshold, kept fraction and share per class as a table."""
        rows = [
            [c.name, f"{c.threshold:g}", format_score(c.kept_fraction), format_score(c.share)]
            for c in self.classes
        ]
        return Table(
            ["class", "threshold", "kept", "share of kept pixels"],
            rows,
            totals=[["all", "", format_score(self.kept_fraction), ""]],
            strong=frozenset({len(rows)}),
        )


def write_pseudo_report(
    folder: PseudoFolder,
    names: Sequence[Path],
    skipped: Mapping[str, str],
    thresholds: Mapping[str, float],
    images_per_second: float | None,
) -> PseudoReport:
    """Count the pixels in the folder, and write `report.json` and `sheet.png` into it.

    `names` are the labelled images, `skipped` has the errors of all others. If nothing was left to
    label, `images_per_second` is None, and the earlier report's is kept.

    Raises:
        DataError: A file in the folder is damaged.
        OutputError: The folder cannot be written.
    """
    counts = np.zeros((2, len(thresholds)), np.int64)
    for name in names:
        counts += folder.counts(name)
    all_kept = max(1, int(counts[1].sum()))
    report = PseudoReport(
        dataset=folder.dataset,
        sheet=folder.sheet,
        fingerprint=folder.fingerprint(names),
        images=len(names),
        skipped=skipped,
        images_per_second=images_per_second or _speed_before(folder.report),
        classes=tuple(
            ClassReport(name, threshold, predicted, kept, share=kept / all_kept)
            for (name, threshold), predicted, kept in zip(
                thresholds.items(), *counts.tolist(), strict=True
            )
        ),
    )
    with folder.writing():
        save_png(_draw_sheet(folder, names), folder.sheet)
        write_json(folder.report, report.to_dict())
    return report


def _draw_sheet(folder: PseudoFolder, names: Sequence[Path]) -> Image.Image:
    """Draw a few images, spread evenly over all, beside their pseudo-labels."""
    rows, captions = [], []
    for place in np.linspace(0, len(names) - 1, min(SHEET_ROWS, len(names))).astype(int):
        name = names[place]
        with Image.open(folder.label(name)) as picture:
            labels = np.array(picture)
        predicted, kept = folder.counts(name).sum(1)
        rows.append((read_image(folder.images / name), None, labels))
        captions.append(f"{name.as_posix()}  {kept / predicted:.0%} kept")
    titles = ("image", "", "pseudo-labels")
    return picture_sheet(rows, folder.classes, titles, captions)


def _speed_before(path: Path) -> float | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["images_per_second"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
