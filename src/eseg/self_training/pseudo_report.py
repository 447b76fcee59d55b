"""What a teacher made of a folder of images, in figures and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.table import Table
from rich.text import Text

from eseg.data.reading import read_image
from eseg.reports.picture_sheet import picture_sheet
from eseg.runtime.writing import replacing
from eseg.self_training.pseudo_folder import PseudoFolder

_SHEET_ROWS = 6


@dataclass(frozen=True)
class ClassReport:
    """The pixels of one class.

    Attributes:
        name: The class.
        threshold: Its pixels with this probability or less were not kept.
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
        """Share of the predicted pixels that were kept; None if there are none."""
        return self.kept / self.predicted if self.predicted else None


@dataclass(frozen=True)
class PseudoReport:
    """What became of a folder of images.

    Attributes:
        dataset: YAML of the data set that the images and their pseudo-labels make.
        sheet: Some of them as pictures.
        fingerprint: `PseudoFolder.fingerprint` of them.
        images: How many have pseudo-labels.
        skipped: Why other images have none, by their path below the folder.
        images_per_second: Speed of the processes together, reading and writing included; of the
            images labelled since the last interruption.
        classes: The pixels of every class.
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
        """The figures as JSON can hold them; paths are left out."""
        return {
            "images": self.images,
            "skipped": dict(self.skipped),
            "images_per_second": self.images_per_second,
            "kept_fraction": self.kept_fraction,
            "classes": {
                entry.name: {
                    "threshold": entry.threshold,
                    "predicted": entry.predicted,
                    "kept": entry.kept,
                    "kept_fraction": entry.kept_fraction,
                    "share": entry.share,
                }
                for entry in self.classes
            },
        }

    def table(self) -> Table:
        """Kept fraction and share per class, for a person."""
        table = Table()
        table.add_column("class")
        for heading in ("threshold", "kept", "share of kept pixels"):
            table.add_column(heading, justify="right")
        for entry in self.classes:
            kept = "-" if entry.kept_fraction is None else f"{entry.kept_fraction:.4f}"
            table.add_row(Text(entry.name), f"{entry.threshold:g}", kept, f"{entry.share:.4f}")
        table.add_section()
        table.add_row("[bold]all", "", f"[bold]{self.kept_fraction:.4f}", "")
        return table


def write_report(
    folder: PseudoFolder,
    names: Sequence[Path],
    skipped: Mapping[str, str],
    thresholds: Mapping[str, float],
    images_per_second: float | None,
) -> PseudoReport:
    """Count what is in the folder, and write `report.json` and `sheet.png` into it.

    Args:
        folder: The pseudo-labels.
        names: The images that have some, by their path below the folder of images.
        skipped: Why other images have none.
        thresholds: Of each class.
        images_per_second: Speed of this call, None if it had nothing to label: an earlier report's
            figure then stays.

    Raises:
        DataError: A file in the folder is damaged, or it cannot be written.
    """
    predicted = np.zeros(len(thresholds), np.int64)
    kept = np.zeros_like(predicted)
    for name in names:
        counts = folder.counts(name)
        predicted += counts.predicted
        kept += counts.kept
    report = PseudoReport(
        dataset=folder.dataset,
        sheet=folder.sheet,
        fingerprint=folder.fingerprint(names),
        images=len(names),
        skipped=skipped,
        images_per_second=images_per_second or _speed_before(folder.report),
        classes=tuple(
            ClassReport(name, threshold, *pixels, share=pixels[1] / max(1, int(kept.sum())))
            for (name, threshold), pixels in zip(
                thresholds.items(),
                zip(predicted.tolist(), kept.tolist(), strict=True),
                strict=True,
            )
        ),
    )
    with folder.writing():
        with replacing(folder.sheet) as temporary:
            _draw_sheet(folder, names).save(temporary, format="PNG")
        with replacing(folder.report) as temporary:
            temporary.write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
    return report


def _draw_sheet(folder: PseudoFolder, names: Sequence[Path]) -> Image.Image:
    """Image and pseudo-labels of a few images spread evenly over all."""
    rows, captions = [], []
    for place in np.linspace(0, len(names) - 1, min(_SHEET_ROWS, len(names))).astype(int):
        name = names[place]
        with Image.open(folder.label(name)) as picture:
            labels = np.array(picture)
        counts = folder.counts(name)
        share = counts.kept.sum() / counts.predicted.sum()
        rows.append((read_image(folder.images / name), None, labels))
        captions.append(f"{name.as_posix()}  {share:.0%} kept")
    titles = ("image", "", "pseudo-labels")
    return picture_sheet(rows, folder.classes, titles, captions)


def _speed_before(path: Path) -> float | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["images_per_second"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
