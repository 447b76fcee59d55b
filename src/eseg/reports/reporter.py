"""Receiver of what long work has to tell while it goes on: lines, tables and progress."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from eseg.reports.table import Table

Item = TypeVar("Item")


class Reporter:
    """A reporter that stays silent; the command line has one that draws.

    Library functions take one as `reporter` and never print themselves.
    """

    def say(self, text: str) -> None:
        """Tell a line that stays."""

    def status(self, text: str) -> None:
        """Tell what is being done now; the next status or progress replaces it."""

    def show(self, table: Table) -> None:
        """Show a table."""

    def track(
        self, items: Iterable[Item], *, total: int | None = None, description: str = ""
    ) -> Iterable[Item]:
        """Pass items on, and show how far they have come.

        Args:
            items: What is worked on.
            total: How many there are; needed where `items` has no length.
            description: A few words for the kind of work.
        """
        return items


SILENT = Reporter()
"""The default of every `reporter` argument."""
