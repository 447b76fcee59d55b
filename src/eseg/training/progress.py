"""What a person sees while a network trains: one line on a terminal, some lines in a file."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eseg.metrics import Scores
from eseg.training.state import TrainingState

SECONDS_BETWEEN_LINES = 30
"""How often a run says where it is when its output goes to a file."""


class Meter:
    """Throughput since the last log line; time spent on anything else is left out."""

    def __init__(self) -> None:
        self._images = 0
        self._total_images = 0
        self._total_seconds = 0.0
        self._started = time.perf_counter()

    def add(self, images: int) -> None:
        """Count the images of a step."""
        self._images += images

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do something whose time does not count as training."""
        before = time.perf_counter()
        yield
        self._started += time.perf_counter() - before

    @property
    def images_per_second(self) -> float:
        """Throughput since the last `take`."""
        return self._images / max(time.perf_counter() - self._started, 1e-9)

    @property
    def overall_images_per_second(self) -> float:
        """Throughput over everything taken so far."""
        return self._total_images / max(self._total_seconds, 1e-9)

    def take(self) -> float:
        """Throughput since the last call; starts counting anew."""
        now, speed = time.perf_counter(), self.images_per_second
        self._total_images += self._images
        self._total_seconds += now - self._started
        self._images, self._started = 0, now
        return speed


class TrainProgress:
    """A progress line with loss, rate, throughput, memory and time left.

    Where the output is no terminal, a line now and then takes its place.

    Args:
        steps: Length of the run.
        done: Steps done before, in a resumed run.
        device: Whose memory is shown.
        console: Where to print.
    """

    def __init__(self, steps: int, done: int, device: torch.device, console: Console) -> None:
        self.console = console
        self.steps = steps
        self.device = device
        self._bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
        )
        self._printed = time.perf_counter()
        self._task = self._bar.add_task("train", total=steps, completed=done, figures="")

    def advance(self, loss: float, lr: float, images_per_second: float) -> None:
        """Show the figures of a step."""
        figures = (
            f"loss {loss:.3f}  lr {lr:.2g}  {images_per_second:.1f} img/s  "
            f"{peak_memory_mib(self.device):.0f} MiB"
        )
        self._bar.update(self._task, advance=1, figures=figures)
        now = time.perf_counter()
        if self._bar.disable and now - self._printed > SECONDS_BETWEEN_LINES:
            self._printed = now
            done = int(self._bar.tasks[0].completed)
            self.console.print(f"step {done}/{self.steps}  {figures}", highlight=False)

    def evaluated(self, state: TrainingState, loss: float, scores: Scores) -> None:
        """Print a line about an evaluation, which stays."""
        best = scores.miou if state.best is None else state.best["miou"]
        self.console.print(
            f"step {state.step}/{self.steps}  loss {loss:.3f}  val mIoU "
            f"[bold]{scores.miou:.4f}[/bold]  pixel accuracy {scores.pixel_accuracy:.4f}  "
            f"best {best:.4f}",
            highlight=False,
            soft_wrap=True,
        )

    def stop(self) -> None:
        """Take the line away."""
        self._bar.stop()

    def __enter__(self) -> TrainProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()


def peak_memory_mib(device: torch.device) -> float:
    """Highest memory so far: allocated on a CUDA device, or resident in this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
