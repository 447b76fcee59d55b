"""Diagnosis of a data set: every file is read once, every check is made; its table and summary."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from eseg.data.folder import FolderConfig, list_split, listing_faults
from eseg.data.unpacked import expect_split
from eseg.doctor.balance import Balance, balance_findings, count_classes
from eseg.doctor.checks import error_findings, masks_without_image, warning_findings
from eseg.doctor.duplicates import duplicate_findings
from eseg.doctor.facts import Expected, PairFacts, gather
from eseg.doctor.findings import SEVERITIES, Finding, counted
from eseg.errors import DataError
from eseg.reports.reporter import SILENT, Reporter
from eseg.reports.table import Table

_TOO_FEW = 20
"""In fewer randomly chosen masks than this, any class may be rare."""

_SHOWN_CLASSES = 40
"""Rows of the table of classes."""

Pairs = Sequence[tuple[Path, Path | None]]


@dataclass(frozen=True)
class Readings:
    """Facts about all files of a data set."""

    splits: dict[str, tuple[PairFacts, ...]]  # in the split's order, without missing files
    seconds: float  # total time for reading

    @property
    def facts(self) -> list[PairFacts]:
        """Facts of all splits, one after another."""
        return [pair for facts in self.splits.values() for pair in facts]

    @property
    def pairs(self) -> int:
        """Number of images that were read, with their masks if they have any."""
        return len(self.facts)

    @property
    def pairs_per_minute(self) -> float:
        """Speed of reading and examining."""
        return 60 * self.pairs / max(self.seconds, 1e-9)

    @property
    def milliseconds_per_pair(self) -> float:
        """Median time that a thread needs to read one image with its mask."""
        return 1000 * median([pair.seconds for pair in self.facts] or [0.0])


@dataclass(frozen=True)
class Diagnosis:
    """Result of an examination.

    Attributes:
        config: The data set as it was examined: as described, or as proposed for a bare folder.
        readings: Facts about its files.
        findings: Worst first.
        balances: Class balance per split.
        is_proposed: True if images, masks and classes were found in a folder without description.
    """

    config: FolderConfig
    readings: Readings
    findings: tuple[Finding, ...]
    balances: dict[str, Balance] = field(default_factory=dict)
    is_proposed: bool = False

    @property
    def has_errors(self) -> bool:
        """True if a finding has the severity "error"."""
        return any(finding.severity == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        names = self.config.class_table().names
        proposal = {
            "mask_values": self.config.mask_values,
            "classes": [asdict(entry) for entry in self.config.classes],
            "ignore_index": self.config.ignore_index,
            "ignore_colours": self.config.ignore_colours,
        }
        return {
            "data_set": self.config.name,
            "root": str(self.config.root),
            "is_proposed": self.is_proposed,
            "proposal": proposal if self.is_proposed else None,
            "findings": [finding.to_dict() for finding in self.findings],
            "splits": {
                split: balance.to_dict(names) | {"pairs": len(self.readings.splits[split])}
                for split, balance in self.balances.items()
            },
            "reading": {
                "pairs": self.readings.pairs,
                "seconds": self.readings.seconds,
                "pairs_per_minute": self.readings.pairs_per_minute,
                "milliseconds_per_pair": self.readings.milliseconds_per_pair,
            },
        }


def examine(
    config: FolderConfig,
    *,
    source: str | None = None,
    reporter: Reporter = SILENT,
    workers: int | None = None,
) -> Diagnosis:
    """Examine a data set as it is described.

    Args:
        config: The description.
        source: The place to download an official set from. With it, splits that training does not
            need may be missing.
        reporter: Receiver of the progress.
        workers: Threads that read; by default one per core.

    Raises:
        DataError: The root is not a folder.
    """
    if not config.root.is_dir():
        list_split(config, next(iter(config.splits)))  # raises the error of training
    findings: list[Finding] = []
    present: dict[str, Pairs] = {}
    known: set[Path] = set()
    for split in config.splits:
        try:
            if source is not None:
                expect_split(config, split, source)
        except DataError as error:
            kind = "unusable split" if split in ("train", "val") else "split not there"
            findings.append(Finding(kind, f"split '{split}' is not examined; {error}"))
            continue
        try:
            pairs = list_split(config, split)
        except DataError as error:
            findings.append(Finding("unusable split", str(error)))
            continue
        masks = [mask for _, mask in pairs if mask is not None]
        known.update(masks)
        for error, files in listing_faults(config, split, [image for image, _ in pairs], masks):
            assert error.fault is not None
            findings.append(Finding(error.fault, str(error), tuple(files)))
        present[split] = [
            (image, mask)
            for image, mask in pairs
            if image.is_file() and (mask is None or mask.is_file())
        ]
    for split in present:
        findings.extend(masks_without_image(config, split, known))
    readings = read(present, config.mask_values, reporter=reporter, workers=workers)
    return diagnose(config, readings, findings)


def read(
    splits: Mapping[str, Pairs],
    expected: Expected,
    *,
    reporter: Reporter = SILENT,
    workers: int | None = None,
) -> Readings:
    """Read all files, which exist, of some splits; a pair in several splits is read once.

    `expected` is the kind of values in masks, see `examine_pair`; `workers` as for `examine`.
    """
    pairs = list(dict.fromkeys(pair for of_split in splits.values() for pair in of_split))
    start = time.perf_counter()
    facts = reporter.track(
        gather(pairs, expected, workers),
        total=len(pairs),
        description="reading images and masks",
    )
    by_pair = dict(zip(pairs, facts, strict=True))
    seconds = time.perf_counter() - start
    return Readings(
        {split: tuple(by_pair[pair] for pair in of_split) for split, of_split in splits.items()},
        seconds,
    )


def diagnose(
    config: FolderConfig,
    readings: Readings,
    findings: Sequence[Finding] = (),
    *,
    is_proposed: bool = False,
) -> Diagnosis:
    """Make all checks that need the contents of the files, and add them to the findings so far.

    Rare classes in a small `val` that `examine_folder` divided off are not reported.
    """
    is_divided = any(finding.kind == "divided here" for finding in findings)
    found = list(findings)
    balances = {}
    for split, facts in readings.splits.items():
        found.extend(error_findings(config, facts))
        found.extend(warning_findings(config, split, facts))
        if any(pair.mask_path for pair in facts):
            balances[split] = count_classes(config, facts)
            is_small_part = is_divided and split == "val" and balances[split].masks < _TOO_FEW
            found.extend(
                finding
                for finding in balance_findings(config, split, balances[split])
                if not (is_small_part and finding.kind == "rare class")
            )
    found.extend(duplicate_findings(readings.splits))
    found.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Diagnosis(config, readings, tuple(found), balances, is_proposed)


def balance_table(diagnosis: Diagnosis) -> Table:
    """Return share of the labelled pixels, and number of images, per class and split."""
    balances = diagnosis.balances
    names = diagnosis.config.class_table().names
    rows = []
    for label, name in enumerate(names[:_SHOWN_CLASSES]):
        cells = [
            f"{balance.share(label):.3%} ({balance.images[label]})"
            if balance.images[label]
            else "-"
            for balance in balances.values()
        ]
        rows.append((name, *cells))
    if len(names) > _SHOWN_CLASSES:
        rows.append((f"and {len(names) - _SHOWN_CLASSES} more", *[""] * len(balances)))
    unlabelled = [
        f"{balance.unlabelled / max(1, balance.unlabelled + sum(balance.pixels)):.3%}"
        for balance in balances.values()
    ]
    masks = [f"{split} ({counted(balance.masks, 'mask')})" for split, balance in balances.items()]
    return Table(
        ("class", *masks),
        rows,
        totals=[("no label, of all pixels", *unlabelled)],
        title="Classes: share of labelled pixels (images)",
    )


def summary_line(diagnosis: Diagnosis) -> str:
    """Count the findings per severity, and tell the speed of reading."""
    counts = Counter(finding.severity for finding in diagnosis.findings)
    found = ", ".join(counted(counts[severity], severity) for severity in SEVERITIES)
    readings = diagnosis.readings
    return (
        f"{found}. {counted(readings.pairs, 'image')} read in {readings.seconds:.1f} s "
        f"({readings.pairs_per_minute:,.0f} per minute; image and mask "
        f"{readings.milliseconds_per_pair:.1f} ms in the median)"
    )
