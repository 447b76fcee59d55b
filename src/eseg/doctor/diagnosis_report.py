"""What the doctor prints."""

from __future__ import annotations

from collections import Counter

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from eseg.doctor.diagnosis import Diagnosis
from eseg.doctor.findings import SEVERITIES, Finding, counted

_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_SHOWN_FILES = 5
_SHOWN_CLASSES = 40


def report(diagnosis: Diagnosis) -> Group:
    """Findings, class balance and speed, to be printed by rich."""
    parts: list[RenderableType] = []
    if diagnosis.findings:
        parts.append(_findings_table(diagnosis))
    if diagnosis.balances:
        parts.append(_balance_table(diagnosis))
    parts.append(_summary(diagnosis))
    return Group(*parts)


def _findings_table(diagnosis: Diagnosis) -> Table:
    table = Table(title="Findings", title_justify="left", show_lines=True)
    table.add_column("")
    table.add_column("what", min_width=11)
    table.add_column("files", justify="right")
    table.add_column("where, what and what to do", ratio=1)
    root = f"{diagnosis.config.root}/"
    for finding in diagnosis.findings:
        style = _STYLES[finding.severity]
        number = str(len(finding.files)) if finding.files else ""
        table.add_row(
            f"[{style}]{finding.severity}[/]", finding.kind, number, escape(_text(finding, root))
        )
    return table


def _text(finding: Finding, root: str) -> str:
    text = finding.message
    if finding.proposal:
        text += f"\nproposed: {finding.proposal}"
    unnamed = [str(path) for path in finding.files if str(path) not in finding.message]
    if unnamed:
        text += f"\nalso: {', '.join(unnamed[:_SHOWN_FILES])}"
        if len(unnamed) > _SHOWN_FILES:
            text += f" and {len(unnamed) - _SHOWN_FILES} more (--json lists all)"
    return text.replace(root, "")


def _balance_table(diagnosis: Diagnosis) -> Table:
    """Share of the labelled pixels, and images, per class and split."""
    table = Table(title="Classes: share of labelled pixels (images)", title_justify="left")
    table.add_column("class")
    for split, balance in diagnosis.balances.items():
        table.add_column(f"{escape(split)} ({counted(balance.masks, 'mask')})", justify="right")
    names = diagnosis.config.class_table().names
    for label, name in enumerate(names[:_SHOWN_CLASSES]):
        cells = [
            f"{balance.share(label):.3%} ({balance.images[label]})"
            if balance.images[label]
            else "-"
            for balance in diagnosis.balances.values()
        ]
        table.add_row(escape(name), *cells)
    if len(names) > _SHOWN_CLASSES:
        table.add_row(
            f"{len(names) - _SHOWN_CLASSES} more: --json", *[""] * len(diagnosis.balances)
        )
    table.add_section()
    unlabelled = [
        f"{balance.unlabelled / max(1, balance.unlabelled + sum(balance.pixels)):.3%}"
        for balance in diagnosis.balances.values()
    ]
    table.add_row("no label, of all pixels", *unlabelled)
    return table


def _summary(diagnosis: Diagnosis) -> str:
    counts = Counter(finding.severity for finding in diagnosis.findings)
    found = ", ".join(counted(counts[severity], severity) for severity in SEVERITIES)
    readings = diagnosis.readings
    return (
        f"{found}. {counted(readings.pairs, 'image')} read in {readings.seconds:.1f} s "
        f"({readings.pairs_per_minute:,.0f} per minute; image and mask "
        f"{readings.milliseconds_per_pair:.1f} ms in the median)"
    )
