"""Class balance of a data set: pixels and images per class, and classes that are too rare."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from eseg.data.folder import FolderConfig
from eseg.doctor.facts import PairFacts
from eseg.doctor.findings import Finding, some
from eseg.runtime.class_table import IGNORE_INDEX

RARE_IMAGES = 3
"""A class in fewer images than this is rare, however small the split."""
RARE_SHARE = 0.01
"""A class in a smaller share of the split's images is rare too."""


@dataclass(frozen=True)
class Balance:
    """Class counts of one split."""

    pixels: tuple[int, ...]  # per class, in the order of the ids
    images: tuple[int, ...]  # number of images that show each class
    unlabelled: int  # pixels without a label
    masks: int  # masks that were counted

    def share(self, label: int) -> float:
        """Return the share of the labelled pixels that a class has, in [0, 1]."""
        return self.pixels[label] / max(1, sum(self.pixels))

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Return plain values for JSON."""
        classes = {
            name: {"pixels": pixels, "images": images, "share": self.share(label)}
            for label, (name, pixels, images) in enumerate(
                zip(names, self.pixels, self.images, strict=True)
            )
        }
        return {"masks": self.masks, "unlabelled_pixels": self.unlabelled, "classes": classes}


def count_classes(config: FolderConfig, facts: Sequence[PairFacts]) -> Balance:
    """Count the classes in all masks that store ids or colours as the data set expects."""
    labels = config.labels_by_value()
    pixels, images = [0] * len(config.classes), [0] * len(config.classes)
    unlabelled = masks = 0
    for pair in facts:
        if pair.mask is None or pair.mask.stored != config.mask_values:
            continue
        masks += 1
        present: set[int] = set()
        for value, count in pair.mask.values.items():
            label = labels.get(value, IGNORE_INDEX)
            if label == IGNORE_INDEX:
                unlabelled += count
            else:
                pixels[label] += count
                present.add(label)
        for label in present:
            images[label] += 1
    return Balance(tuple(pixels), tuple(images), unlabelled, masks)


def balance_findings(config: FolderConfig, split: str, balance: Balance) -> Iterator[Finding]:
    """Report classes that do not occur, or too rarely to be learnt and measured."""
    if balance.masks == 0:
        return
    names = config.class_table().names
    empty = [names[label] for label, images in enumerate(balance.images) if images == 0]
    if empty:
        occurs = "occurs" if len(empty) == 1 else "occur"
        yield Finding(
            "empty class",
            f"split '{split}': {some(empty)} {occurs} in none of the {balance.masks} masks and can "
            "be neither learnt nor measured there; add images that show it, or remove it from "
            "classes in the data set's YAML",
        )
    fewest = max(RARE_IMAGES, math.ceil(RARE_SHARE * balance.masks))
    rare = [
        f"{names[label]} (in {images}, {balance.share(label):.3%} of the labelled pixels)"
        for label, images in enumerate(balance.images)
        if 0 < images < min(fewest, balance.masks)
    ]
    if rare:
        yield Finding(
            "rare class",
            f"split '{split}': of {balance.masks} images fewer than {min(fewest, balance.masks)} "
            f"show {some(rare)}: too few to learn or to measure it reliably; add images that "
            "show it, merge it with another class, or give it a weight in loss.class_weights",
        )
