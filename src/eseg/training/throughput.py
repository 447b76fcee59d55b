"""Throughput of a run, evaluation and checkpoints left out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class ThroughputMeter:
    """Images per second since the last log line and over the whole run."""

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
        """Leave the time of the block out."""
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
        """Return the throughput since the last call and start anew."""
        now, speed = time.perf_counter(), self.images_per_second
        self._total_images += self._images
        self._total_seconds += now - self._started
        self._images, self._started = 0, now
        return speed
