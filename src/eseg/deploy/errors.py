"""The one kind of error that exporting raises."""

from __future__ import annotations


class ExportError(RuntimeError):
    """A network cannot be exported as asked; the message says why and what to do."""


def extra_missing(format: str, extra: str, error: ImportError) -> ExportError:  # noqa: A002
    """What to install for a format whose packages are not there."""
    return ExportError(
        f"--format {format} needs packages that are not installed ({error}): "
        f"pip install 'eseg[{extra}]'"
    )
