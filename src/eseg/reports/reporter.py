"""Receiver of what long work has to tell while it goes on: lines, tables and progress."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from eseg.reports.table import Table

Item = TypeVar("Item")


class TrainingProgress:
    """Receiver of a training run's figures; this one ignores them."""

    def advance(
        self, loss: float, lr: float, images_per_second: float, peak_memory_mib: float
    ) -> None:
        """Take the figures of one optimiser step; the loss is in nats."""

    def evaluated(
        self, step: int, loss: float, miou: float, pixel_accuracy: float, best_miou: float
    ) -> None:
        """Take the result of an evaluation, `loss` being the mean since the last log line."""


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

    def training(self, steps: int, done: int) -> AbstractContextManager[TrainingProgress]:
        """Show the progress of a training run for as long as the block lasts.

        Args:
            steps: Length of the run.
            done: Steps done before, in a resumed run.
        """
        return nullcontext(TrainingProgress())


SILENT = Reporter()
"""The default of every `reporter` argument."""
