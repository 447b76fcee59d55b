"""Silence for the loggers of other packages, where they speak to their own developers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from eseg.errors import ExportError


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Let the named loggers, and those below them, pass on errors only; `""` is the root."""
    with ExitStack() as stack:
        for name in loggers:
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)
        yield


def extra_missing(format: str, extra: str, error: ImportError) -> ExportError:  # noqa: A002
    """Build the error for a format whose packages are not installed."""
    return ExportError(
        f"`format` {format} needs packages that are not installed ({error}): "
        f"pip install 'eseg[{extra}]'"
    )
