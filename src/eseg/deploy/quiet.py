"""Silence for the loggers of other packages, where they speak to their own developers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Let the named loggers, and those below them, pass on errors only; `""` is the root."""
    with ExitStack() as stack:
        for name in loggers:
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)
        yield
