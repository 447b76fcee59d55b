"""Networks timed stage by stage, each in a process of its own.

Nothing here imports torch before a network needs it: the memory that an exported network takes in
its process is then what it takes on a robot.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eseg.runtime.engine import Engine
from eseg.runtime.engine_table import open_engine
from eseg.runtime.network_info import NetworkInfo

STAGES = ("preprocess", "network", "labels")
"""Stages of an `Engine`, from a uint8 image in memory to uint8 labels in memory."""

_WARM_UP_SECONDS = 0.5


@dataclass(frozen=True)
class Subject:
    """One network on one engine, with the options of `eseg.runtime.engine_table.open_engine`.

    The weights are random numbers if `is_trained` is False.
    """

    name: str
    path: Path
    engine: str
    device: str = "cpu"
    precision: str = "auto"
    threads: int = 1
    is_trained: bool = True


def steps_of(engine: Engine, size: tuple[int, int]) -> dict[str, Callable[[Any], Any]]:
    """Return the stages for images of a (height, width); the last returns uint8 (1, height, width).

    Each takes what the one before returned, the first uint8 RGB (1, height, width, 3).
    """
    return {
        "preprocess": engine.preprocess,
        "network": engine.network,
        "labels": lambda output: engine.labels(output, size).ids,
    }


def time_steps(
    steps: Mapping[str, Callable[[Any], Any]],
    images: np.ndarray,
    *,
    wait: Callable[[], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Take one image through all steps; return the seconds by step, and of the `whole`.

    Where steps return before the device has done its work, the image goes through them twice: once
    with a wait after every step, and once with a wait at the end alone, since waiting itself costs
    time. Elsewhere the whole is the sum of the steps.
    """
    value: Any = images
    seconds: dict[str, float] = {}
    for name, step in steps.items():
        start = clock()
        value = step(value)
        if wait is not None:
            wait()
        seconds[name] = clock() - start
    if wait is None:
        return seconds | {"whole": sum(seconds.values())}
    start = clock()
    _run(steps, images)
    wait()
    return seconds | {"whole": clock() - start}


def _run(steps: Mapping[str, Callable[[Any], Any]], value: Any) -> Any:
    for step in steps.values():
        value = step(value)
    return value


class TimedNetwork:
    """A network that takes turns among others in a process of its own; raises as `open_engine`."""

    def __init__(self, subject: Subject) -> None:
        self._before_mib = memory_mib()[0]
        self._engine = open_engine(
            subject.path,
            engine=subject.engine,
            device=subject.device,
            precision=subject.precision,
            threads=subject.threads,
        )
        # A compiled network records a CUDA graph with the third image, and replays it from then on.
        self._warm_up_images = 4 if subject.engine == "compile" else 2
        self._images: list[np.ndarray] = []
        self._steps: dict[str, Callable[[Any], Any]] = {}

    def describe(self) -> tuple[NetworkInfo, str]:
        """Return the network's description, and its arithmetic: fp32, bf16, fp16 or int8."""
        return self._engine.info, self._engine.precision

    def show(self, images: Sequence[np.ndarray]) -> None:
        """Take images to work on, uint8 RGB of one size, and warm up."""
        self._images = [image[None] for image in images]
        height, width, _ = images[0].shape
        self._steps = steps_of(self._engine, (height, width))
        start, done = time.perf_counter(), 0
        while done < self._warm_up_images or time.perf_counter() - start < _WARM_UP_SECONDS:
            self.labels(done)
            done += 1

    def turn(self, index: int) -> dict[str, float]:
        """Return the seconds by step and of the whole for one image, as in a loop over many.

        One image goes ahead untimed: threads wake up and caches fill with this network's data.
        """
        self.labels(index)
        image = self._images[index % len(self._images)]
        wait = self._engine.wait if self._engine.runs_ahead else None
        return time_steps(self._steps, image, wait=wait)

    def labels(self, index: int) -> np.ndarray:
        """Return the labels of one image, uint8 (height, width)."""
        return _run(self._steps, self._images[index % len(self._images)])[0]

    def memory(self) -> dict[str, float]:
        """Return the highest MiB: of the process, since before the network, allocated by CUDA."""
        peak = memory_mib()[1]
        memory = {"process": peak, "network": peak - self._before_mib}
        allocated = self._engine.device_bytes()
        return memory if allocated is None else memory | {"cuda": allocated / 2**20}


def memory_mib() -> tuple[float, float]:
    """Return this process's resident memory now, and at the highest, in MiB."""
    status = Path("/proc/self/status")
    if not status.exists():
        # Bytes on macOS, where only the highest is to be had.
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
        return peak, peak
    # Not `ru_maxrss`: a process begins with that of the one which started it.
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0]) / 1024, int(fields["VmHWM"].split()[0]) / 1024
