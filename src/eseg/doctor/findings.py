"""Findings about a data set: their kinds, severities and texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from eseg.errors import Fault

Severity = Literal["error", "warning", "note"]
"""Error: training refuses the data, learns wrong labels from it, or reports a false figure.
Warning: training runs, and the result is worse than it looks. Note: for information."""

_Error = Literal["unusable split", "missing split", "palette for ids", "duplicate across splits"]
_Warning = Literal[
    "near-duplicate across splits",
    "mask without image",
    "image without mask",
    "all ignored",
    "empty class",
    "rare class",
    "two masks for one picture",
    "EXIF orientation",
    "odd size",
]
_Note = Literal["duplicate in a split", "divided here", "split not there", "unsupported format"]

Kind = Fault | _Error | _Warning | _Note
"""Kinds of findings; a `Fault` is refused by training and therefore an error."""

SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True)
class Finding:
    """One fault or peculiarity of a data set.

    Attributes:
        kind: Its kind.
        message: The first file, the value and the remedy; training's own message where there is
            one.
        files: All files concerned.
        proposal: The probable meaning of the values, or "".
    """

    kind: Kind
    message: str
    files: tuple[Path, ...] = ()
    proposal: str = ""

    @property
    def severity(self) -> Severity:
        """Severity, which follows from the kind."""
        if self.kind in get_args(_Warning):
            return "warning"
        return "note" if self.kind in get_args(_Note) else "error"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "severity": self.severity,
            "kind": self.kind,
            "message": self.message,
            "files": [str(path) for path in self.files],
            "proposal": self.proposal,
        }


def counted(number: int, what: str) -> str:
    """Return a number with its noun: `counted(1, "mask")` is "1 mask", 2 give "2 masks"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def some(names: list[str], shown: int = 8) -> str:
    """List the first names, and the number of the others."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" * (len(names) > shown))
