"""Choice of the preset that holds a rate of images on this machine."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, get_args

import numpy as np

from eseg.choices import Family
from eseg.deploy.benchmark.benchmark import start
from eseg.deploy.benchmark.profile import PAPER, Profile, profile
from eseg.deploy.benchmark.subjects import draw_picture, find_subjects
from eseg.deploy.benchmark.timed_network import Subject
from eseg.deploy.benchmark.timing import Times, take_turns
from eseg.errors import BenchmarkError
from eseg.models import PRESETS
from eseg.models.config import LITE_BACKBONE
from eseg.reports.reporter import SILENT, Reporter

_HOPELESS = 2.0
"""Presets whose first image takes this many times what it may are not timed further."""

_ROUNDS_PER_ENGINE = 5

_SIZE_STEP = 32
_SIZES_TRIED = 6


@dataclass(frozen=True)
class Candidate:
    """A preset on this machine."""

    preset: str
    miou: float
    """The paper's mIoU on Cityscapes val, in per cent."""
    profile: Profile
    times: Times
    """From a uint8 image in memory to uint8 labels in memory."""
    images: int
    """Number that was timed; one where that was hopeless."""
    holds: bool
    """True if 95 % of the images took no longer than the rate allows."""


class SmallerSize(NamedTuple):
    """A smaller size at which a preset holds the rate, as timed."""

    preset: str
    size: tuple[int, int]
    times: Times


@dataclass(frozen=True)
class Choice:
    """The presets that there were to choose from."""

    fps: float
    """The rate that was asked for, in images per second."""
    size: tuple[int, int]
    """(height, width) of the images."""
    engine: str
    engines: dict[str, float]
    """Median ms of the smallest preset on each engine; one alone if it was given."""
    candidates: list[Candidate]
    """The presets, those with few multiply-accumulates first."""
    smaller_size: SmallerSize | None = None
    """If none holds the rate, a smaller size at which the fastest does."""

    @property
    def best(self) -> Candidate | None:
        """The most accurate that holds the rate, and of equals the fastest."""
        return max(
            (candidate for candidate in self.candidates if candidate.holds),
            key=lambda candidate: (candidate.miou, -candidate.times.median),
            default=None,
        )


def choose(
    fps: float,
    size: tuple[int, int],
    *,
    engine: str | None = None,
    family: str = "all",
    device: str | None = None,
    precision: str = "auto",
    threads: int = 1,
    rounds: int = 20,
    reporter: Reporter = SILENT,
) -> Choice:
    """Time the presets and find those that hold a rate.

    A rate is held where the 95th percentile of the time from a uint8 image in memory to uint8
    labels in memory is no longer than the rate allows. Weights are random, so that making labels
    takes a little longer than for a trained network.

    Args:
        fps: Images per second, above 0.
        size: (height, width) of the images.
        engine: Engine that runs the networks; by default the fastest for the smallest preset.
        family: `lite`, `full`, or `all`.
        device: Where to compute; the fastest there is by default.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        threads: Threads of a CPU to compute with.
        rounds: Images to time per preset.
        reporter: Shows progress.

    Raises:
        BenchmarkError: The rate or the family makes no sense, or the process of a preset ended,
            for want of memory as a rule.
        DeviceError, EngineError, ExportError: The device or the engine is not there.
    """
    if not 0 < fps < math.inf:
        raise BenchmarkError(f"`fps` {fps:g}: a rate is above 0 images per second, such as 30")
    presets = members(family)
    pixels = draw_picture(size).pixels
    with TemporaryDirectory() as folder:
        find = partial(
            find_subjects,
            folder=Path(folder),
            device=device,
            precision=precision,
            threads=threads,
            reporter=reporter,
        )
        # Within the Lite presets and within the others, the first is the smallest.
        smallest = {s.engine: s for s in find([presets[0]], engines=[engine] if engine else [])}
        tried = _time_networks(smallest, pixels, _ROUNDS_PER_ENGINE, reporter)
        engines = {name: Times.of(seconds).median for name, seconds in tried.items()}
        engine = min(engines, key=engines.__getitem__)
        profiles = {preset: profile(preset, size) for preset in presets}
        subjects = {presets[0]: smallest[engine]}
        subjects |= {preset: find([preset], engines=[engine])[0] for preset in presets[1:]}
        timed = _time_networks(subjects, pixels, rounds, reporter, longest=_HOPELESS / fps)
        candidates = [
            Candidate(
                preset,
                PAPER[preset].miou,
                profiles[preset],
                times=Times.of(seconds),
                images=len(seconds),
                holds=len(seconds) == rounds and Times.of(seconds).p95 <= 1000 / fps,
            )
            for preset, seconds in sorted(timed.items(), key=lambda item: profiles[item[0]].macs)
        ]
        choice = Choice(fps, size, engine, engines, candidates)
        if choice.best is not None:
            return choice
        fastest = min(candidates, key=lambda candidate: candidate.times.median)
        found = _find_smaller_size(subjects[fastest.preset], fastest, choice, rounds, reporter)
    return replace(choice, smaller_size=found)


def members(family: str) -> list[str]:
    """List the presets of a family; raise `BenchmarkError` for any but those of `Family`."""
    if family not in get_args(Family):
        raise BenchmarkError(f"`family` {family!r} is not one of {', '.join(get_args(Family))}")
    wanted = {"all": (True, False), "lite": (True,), "full": (False,)}[family]
    return [name for name, c in PRESETS.items() if (c.backbone == LITE_BACKBONE) in wanted]


def _time_networks(
    subjects: dict[str, Subject],
    pixels: np.ndarray,
    rounds: int,
    reporter: Reporter,
    longest: float = math.inf,
) -> dict[str, list[float]]:
    """Return the seconds of every round by name; of one only where that takes over `longest`."""
    turns, seconds = {}, {}
    with ExitStack() as stack:
        for name, subject in subjects.items():
            reporter.status(f"trying {name}")
            network = stack.enter_context(start(subject))
            network.call("show", [pixels])
            seconds[name] = [network.call("turn", 0)["whole"]]
            if seconds[name][0] > longest:
                network.close()  # its memory is wanted by others
            else:
                turns[name] = partial(network.call, "turn")
        taken = take_turns(turns, rounds, reporter=reporter)
    return seconds | {name: [turn["whole"] for turn in times] for name, times in taken.items()}


def _find_smaller_size(
    subject: Subject, candidate: Candidate, choice: Choice, rounds: int, reporter: Reporter
) -> SmallerSize | None:
    """Find a smaller size of about this shape that holds the rate; None if no tried one does."""
    allowed = 1000 / choice.fps
    scale = min(0.95, math.sqrt(allowed / candidate.times.p95))
    with start(subject) as network:
        for _ in range(_SIZES_TRIED):
            height, width = (int(side * scale) // _SIZE_STEP * _SIZE_STEP for side in choice.size)
            if min(height, width) < _SIZE_STEP:
                return None
            reporter.status(f"trying {candidate.preset} at {height}x{width}")
            network.call("show", [draw_picture((height, width)).pixels])
            times = Times.of([network.call("turn", 0)["whole"] for _ in range(rounds)])
            if times.p95 <= allowed:
                return SmallerSize(candidate.preset, (height, width), times)
            scale *= 0.85
    return None
