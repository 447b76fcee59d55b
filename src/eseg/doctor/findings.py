"""What the doctor can say about a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from eseg.errors import Fault

Severity = Literal["error", "warning", "note"]
"""Error: training refuses it, learns wrong labels from it, or reports a false figure. Warning: it
runs, and the result is worse than it looks. Note: good to know."""

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
"""What there is to find; faults are what training refuses, and errors too."""

SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True)
class Finding:
    """One thing that somebody should know about the data set.

    Attributes:
        kind: What it is.
        message: The first file, the value and the remedy; where training refuses the same, in the
            words of training.
        files: All files that it is about.
        proposal: What the doctor takes the values to mean, where it can tell.
    """

    kind: Kind
    message: str
    files: tuple[Path, ...] = ()
    proposal: str = ""

    @property
    def severity(self) -> Severity:
        """How bad it is; every kind has one severity."""
        if self.kind in get_args(_Warning):
            return "warning"
        return "note" if self.kind in get_args(_Note) else "error"

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "severity": self.severity,
            "kind": self.kind,
            "message": self.message,
            "files": [str(path) for path in self.files],
            "proposal": self.proposal,
        }


def counted(number: int, what: str) -> str:
    """The number of something, in words: `counted(1, "mask")` is "1 mask", 2 give "2 masks"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def some(names: list[str], shown: int = 8) -> str:
    """The first of many names."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" * (len(names) > shown))
