"""Text and table of a diagnosis: findings, class balance and speed of reading."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from eseg.doctor.diagnosis import Diagnosis
from eseg.doctor.findings import SEVERITIES, Finding, counted
from eseg.reports.table import Table

_SHOWN_FILES = 5
_SHOWN_CLASSES = 40


def finding_text(finding: Finding, root: Path) -> str:
    """Return kind, number of files, message, proposal and first files, each on a line.

    Args:
        finding: The finding.
        root: The data set's folder; files are named relative to it.
    """
    heading = finding.kind
    if finding.files:
        heading += f" ({counted(len(finding.files), 'file')})"
    lines = [heading, finding.message]
    if finding.proposal:
        lines.append(f"proposed: {finding.proposal}")
    unnamed = [str(path) for path in finding.files if str(path) not in finding.message]
    if unnamed:
        more = f" and {len(unnamed) - _SHOWN_FILES} more" * (len(unnamed) > _SHOWN_FILES)
        lines.append(f"also: {', '.join(unnamed[:_SHOWN_FILES])}{more}")
    return "\n  ".join(lines).replace(f"{root}/", "")


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
