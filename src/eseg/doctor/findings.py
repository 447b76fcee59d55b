"""Findings about a data set: their kinds, severities and texts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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
        message: The first file, the value and the remedy, in training's own words if it has any.
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
        files = [str(path) for path in self.files]
        return {"severity": self.severity, **asdict(self), "files": files}

    def text(self, root: Path) -> str:
        """Return kind, number of files, message, proposal and first files, each on a line.

        Files are named relative to `root`, the data set's folder.
        """
        number = f" ({counted(len(self.files), 'file')})" if self.files else ""
        lines = [self.kind + number, self.message]
        if self.proposal:
            lines.append(f"proposed: {self.proposal}")
        unnamed = [str(path) for path in self.files if str(path) not in self.message]
        if unnamed:
            lines.append(f"also: {some(unnamed, 5)}")
        return "\n  ".join(lines).replace(f"{root}/", "")


def counted(number: int, what: str) -> str:
    """Return a number with its noun: `counted(1, "mask")` is "1 mask", 2 give "2 masks"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def some(names: list[str], shown: int = 8) -> str:
    """List the first names, and the number of the others."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" * (len(names) > shown))
