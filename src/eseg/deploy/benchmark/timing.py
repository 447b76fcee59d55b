"""Turns in shuffled rounds, and statistics of many times."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from eseg.reports.reporter import SILENT, Reporter

UNSTEADY = 0.25
"""Spread, (p95 - p5) / median, above which times are not to be trusted to a few per cent."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Times:
    """Median and 5th and 95th percentile of times of the same thing, in milliseconds."""

    median: float
    p5: float
    p95: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Times:
        """Summarise at least one time in seconds, interpolating percentiles between two times."""
        return cls(*np.percentile(np.asarray(seconds) * 1000, (50, 5, 95)).tolist())

    @property
    def spread(self) -> float:
        """Distance of p5 and p95, as a share of the median."""
        return (self.p95 - self.p5) / self.median

    def to_dict(self) -> dict[str, float]:
        """For JSON; milliseconds."""
        return {name: round(getattr(self, name), 4) for name in ("median", "p5", "p95")}


def take_turns(
    turns: Mapping[str, Callable[[int], Result]],
    rounds: int,
    *,
    seed: int = 0,
    reporter: Reporter = SILENT,
) -> dict[str, list[Result]]:
    """Let all take one turn per round, in a new order every round.

    A slow phase of the machine then slows all of them down alike. The functions in `turns` are
    given the number of the round; `seed` is that of the orders. Returns the results by name, in the
    order of the rounds.
    """
    shuffle = random.Random(seed).shuffle
    results: dict[str, list[Result]] = {name: [] for name in turns}
    for number in reporter.track(range(rounds), description="timing"):
        order = list(turns)
        shuffle(order)
        for name in order:
            results[name].append(turns[name](number))
    return results


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
