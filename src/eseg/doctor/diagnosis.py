"""Diagnosis of a data set: every file is read once, and every check is made."""

from __future__ import annotations

import time
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
from eseg.doctor.findings import SEVERITIES, Finding
from eseg.errors import DataError
from eseg.reports.reporter import SILENT, Reporter

_TOO_FEW = 20
"""In fewer randomly chosen masks than this, any class may be rare."""

Pairs = Sequence[tuple[Path, Path | None]]


@dataclass(frozen=True)
class Readings:
    """Facts about all files of a data set.

    Attributes:
        splits: Facts per split, in the split's order; pairs with a missing file are left out.
        seconds: Total time for reading.
    """

    splits: dict[str, tuple[PairFacts, ...]]
    seconds: float

    @property
    def pairs(self) -> int:
        """Number of images that were read, with their masks if they have any."""
        return sum(len(facts) for facts in self.splits.values())

    @property
    def pairs_per_minute(self) -> float:
        """Speed of reading and examining."""
        return 60 * self.pairs / max(self.seconds, 1e-9)

    @property
    def milliseconds_per_pair(self) -> float:
        """Median time that a thread needs to read one image with its mask."""
        times = [pair.seconds for facts in self.splits.values() for pair in facts]
        return 1000 * median(times) if times else 0.0


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
        absent = None if source is None else _absent(config, split, source)
        if absent is not None:
            findings.append(absent)
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


def _absent(config: FolderConfig, split: str, source: str) -> Finding | None:
    """Return the finding for an official split whose archives were not unpacked, or None."""
    try:
        expect_split(config, split, source)
    except DataError as error:
        kind = "unusable split" if split in ("train", "val") else "split not there"
        return Finding(kind, f"split '{split}' is not examined; {error}")
    return None


def read(
    splits: Mapping[str, Pairs],
    expected: Expected,
    *,
    reporter: Reporter = SILENT,
    workers: int | None = None,
) -> Readings:
    """Read all files of some splits; a pair in several splits is read once.

    Args:
        splits: Images and masks per split; the files exist.
        expected: Kind of values in masks, see `examine_pair`.
        reporter: Receiver of the progress.
        workers: Threads; by default one per core.
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
    drawn: Sequence[str] = (),
) -> Diagnosis:
    """Make all checks that need the contents of the files.

    Args:
        config: The data set.
        readings: Facts about its files.
        findings: Findings so far.
        is_proposed: See `Diagnosis`.
        drawn: Splits that `examine_folder` drew; rare classes in a small one are not reported.
    """
    found = list(findings)
    balances = {}
    for split, facts in readings.splits.items():
        found.extend(error_findings(config, facts))
        found.extend(warning_findings(config, split, facts))
        if any(pair.mask_path for pair in facts):
            balances[split] = count_classes(config, facts)
            is_drawn = split in drawn and balances[split].masks < _TOO_FEW
            found.extend(
                finding
                for finding in balance_findings(config, split, balances[split])
                if not (is_drawn and finding.kind == "rare class")
            )
    found.extend(duplicate_findings(readings.splits))
    found.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Diagnosis(config, readings, tuple(found), balances, is_proposed)
