"""Progress of training: a live line on a terminal, a line now and then in a file."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eseg.reports.reporter import TrainingProgress

SECONDS_BETWEEN_LINES = 30
"""Time between two progress lines in output to a file."""


class RichTrainingProgress(TrainingProgress):
    """Progress line with loss, learning rate, throughput, memory and time left.

    It is shown for as long as the context of `bar` lasts. In output to a file, a line every
    `SECONDS_BETWEEN_LINES` takes its place. Of `steps`, `done` were done before, in a resumed run.
    """

    def __init__(self, console: Console, steps: int, done: int) -> None:
        self._console = console
        self.steps = steps
        self.bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal or console.is_dumb_terminal,
        )
        self._printed = time.perf_counter()
        self._task = self.bar.add_task("train", total=steps, completed=done, figures="")

    def advance(
        self, loss: float, lr: float, images_per_second: float, peak_memory_mib: float
    ) -> None:
        """Show the figures of a step."""
        figures = (
            f"loss {loss:.3f}  lr {lr:.2g}  {images_per_second:.1f} img/s  "
            f"{peak_memory_mib:.0f} MiB"
        )
        self.bar.update(self._task, advance=1, figures=figures)
        now = time.perf_counter()
        if self.bar.disable and now - self._printed > SECONDS_BETWEEN_LINES:
            self._printed = now
            done = int(self.bar.tasks[0].completed)
            self._console.print(f"step {done}/{self.steps}  {figures}", highlight=False)

    def evaluated(
        self, step: int, loss: float, miou: float, pixel_accuracy: float, best_miou: float
    ) -> None:
        """Print a line about an evaluation, which stays."""
        self._console.print(
            f"step {step}/{self.steps}  loss {loss:.3f}  val mIoU [bold]{miou:.4f}[/bold]  "
            f"pixel accuracy {pixel_accuracy:.4f}  best {best_miou:.4f}",
            highlight=False,
            soft_wrap=True,
        )
