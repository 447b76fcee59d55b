"""Result of a verification: scores of both sides, the worst image, and the verdict."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eseg.deploy.verify.reference import LogitsDifference
from eseg.metrics import Scores
from eseg.runtime.class_table import ClassTable
from eseg.runtime.network_info import NetworkInfo


@dataclass(frozen=True)
class Tolerance:
    """Largest accepted difference between an exported file and its checkpoint.

    Attributes:
        agreement: Share of all pixels that must get the checkpoint's label, in [0, 1].
        max_drop: Points of mIoU, of 100, that may be lost.
    """

    agreement: float
    max_drop: float


@dataclass(frozen=True)
class ComparedImage:
    """One image as checkpoint and file label it.

    Attributes:
        name: The sample's name, unique in its split.
        image: The image as both have seen it, uint8 RGB (height, width, 3).
        expected: The checkpoint's labels, uint8 (height, width).
        given: The file's labels.
    """

    name: str
    image: np.ndarray
    expected: np.ndarray
    given: np.ndarray

    @property
    def agreement(self) -> float:
        """Share of the pixels that have the same label."""
        return float((self.expected == self.given).mean())


@dataclass(frozen=True)
class Verification:
    """Comparison of an exported file with its checkpoint.

    Attributes:
        file: The exported file.
        info: Its description.
        engine: Engine that ran it.
        images: Number of images.
        resized: Number of them that were resized to the only size that the file takes.
        agreement: Share of all pixels that have the same label.
        labelled_agreement: The same among the pixels whose true class is known.
        expected: The checkpoint's scores.
        given: The file's scores.
        worst: The image with the lowest agreement.
        logits: Distance between the logits of that image; None for a file of labels.
        clues: Likely explanations of the differences, a line each.
    """

    file: Path
    info: NetworkInfo
    engine: str
    classes: ClassTable
    images: int
    resized: int
    agreement: float
    labelled_agreement: float
    expected: Scores
    given: Scores
    worst: ComparedImage
    logits: LogitsDifference | None
    clues: tuple[str, ...]
    tolerance: Tolerance

    @property
    def drop(self) -> float:
        """Points of mIoU, of 100, that the file loses; below 0 if it is better."""
        return 100 * (self.expected.miou - self.given.miou)

    @property
    def failure(self) -> str | None:
        """Reason why the file does not pass, in one line; None if it passes."""
        if not self.agreement >= self.tolerance.agreement:
            return (
                f"only {percent(self.agreement)} of the labels are the checkpoint's; at least "
                f"{100 * self.tolerance.agreement:g} % must be"
            )
        if not self.drop <= self.tolerance.max_drop:
            return (
                f"{self.drop:.2f} points of mIoU are lost; at most {self.tolerance.max_drop:g} "
                "may be"
            )
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the picture, as JSON can hold it."""
        expected, given = self.expected.to_dict(), self.given.to_dict()
        return {
            "file": str(self.file),
            "engine": self.engine,
            "precision": self.info.precision,
            "outputs": self.info.outputs,
            "size": self.info.size,
            "images": self.images,
            "resized": self.resized,
            "passed": self.failure is None,
            "failure": self.failure,
            "clues": self.clues,
            "tolerance": asdict(self.tolerance),
            "agreement": self.agreement,
            "labelled_agreement": self.labelled_agreement,
            "miou": {"checkpoint": expected["miou"], "file": given["miou"]},
            "drop": self.drop,
            "classes": self.classes.names,
            "iou": {"checkpoint": expected["iou"], "file": given["iou"]},
            "worst": {"name": self.worst.name, "agreement": self.worst.agreement},
            "logits": None if self.logits is None else asdict(self.logits),
        }


def percent(share: float) -> str:
    """Format a share in per cent, rounded down: less than 100 % must not read as 100 %."""
    return f"{math.floor(1e5 * share) / 1e3:g} %"
