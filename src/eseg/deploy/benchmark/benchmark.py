"""Benchmark of networks from image to labels on this machine, all in one interleaved run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eseg.config import parse_model_config
from eseg.deploy.benchmark.environment import describe_environment
from eseg.deploy.benchmark.matrix_products import SIDES, MatrixProducts
from eseg.deploy.benchmark.processes import Remote
from eseg.deploy.benchmark.profile import PAPER_SIZE, Profile, profile
from eseg.deploy.benchmark.subjects import TimedPicture, draw_picture, load_picture
from eseg.deploy.benchmark.timed_network import Subject, TimedNetwork
from eseg.deploy.benchmark.timing import Times, seconds_of, take_turns
from eseg.errors import BenchmarkError
from eseg.reports.reporter import SILENT, Reporter
from eseg.runtime.network_info import NetworkInfo

PACKAGES = ("eseg", "numpy", "pillow", "torch", "onnxruntime", "openvino", "numba")
"""Distributions whose versions decide how fast something is."""

_DECODING, _PRODUCTS = "decoding", "matrix products"
"""Other things that take turns; names of subjects hold an engine, so these differ."""


@dataclass(frozen=True)
class Measured:
    """Measurements of one subject."""

    subject: Subject
    info: NetworkInfo
    precision: str
    """Arithmetic: `fp32`, `bf16`, `fp16` or `int8`."""
    profile: Profile
    """Parameters, and multiply-accumulates at the size that the network gets images in."""
    rounds: list[dict[str, float]]
    """Seconds by step and of the whole, of every round."""
    memory: dict[str, float]
    """MiB at the highest: of its `process`, since before the `network`, allocated by `cuda`."""
    labels: list[np.ndarray]
    """Labels of every image, uint8 (height, width), if they were asked for."""

    def seconds(self, stage: str = "whole") -> list[float]:
        """Return the seconds of a stage in every round."""
        return [taken[stage] for taken in self.rounds]

    def times(self, stage: str = "whole") -> Times:
        """Summarise the times of a stage."""
        return Times.of(self.seconds(stage))

    @property
    def gflops_per_second(self) -> float:
        """Operations of the network, two per multiply-accumulate, in the median time it takes."""
        return 2 * self.profile.macs / (self.times("network").median / 1000) / 1e9


@dataclass(frozen=True)
class Benchmark:
    """Measurements of one run."""

    measured: list[Measured]
    """The subjects, in the order in which they were given."""
    pictures: list[TimedPicture]
    """The images, all of one size; round after round the next of them was taken."""
    decoding: list[float]
    """Seconds to decode one, of every round."""
    peak: list[float]
    """GFLOP/s of fp32 matrix products in every round; none on other devices than CPUs."""
    product: dict[str, str | int]
    """Library and side of those matrices."""
    environment: dict[str, str | int | None]

    def ratio(self, measured: Measured) -> float:
        """Return the whole time as a multiple of the first subject's, the median over rounds."""
        return float(np.median(np.divide(measured.seconds(), self.measured[0].seconds())))

    def peak_share(self, measured: Measured) -> float | None:
        """Return a network's share of the rate of matrix products; None if it is not in fp32."""
        if not self.peak or measured.precision != "fp32":
            return None
        return measured.gflops_per_second / float(np.median(self.peak))

    def with_decoding(self, measured: Measured) -> list[float]:
        """Return the seconds from an encoded image to labels: two times of the same round added."""
        return [sum(both) for both in zip(measured.seconds(), self.decoding, strict=True)]


def benchmark(
    subjects: Sequence[Subject],
    *,
    size: tuple[int, int] | None = None,
    images: Sequence[Path] = (),
    rounds: int = 20,
    with_labels: bool = False,
    reporter: Reporter = SILENT,
) -> Benchmark:
    """Time subjects, their stages, decoding, and on CPUs the products of matrices.

    Every subject has a process of its own, and takes one turn per round in a new order every round.

    Args:
        subjects: At least one, all for the same device and number of threads.
        size: (height, width) of the images; by default the one that an exported file was made
            for, the first image's own, or 1024x2048.
        images: Picture files; by default a street scene is drawn.
        rounds: Times per subject.
        with_labels: If True, keep the labels of all images too.
        reporter: Shows progress.

    Raises:
        BenchmarkError: The subjects take images of different sizes only, or the process of one
            ended, for want of memory as a rule.
        ImageError: An image cannot be read.
        CheckpointError, ExportFileError, EngineError, DeviceError: A subject cannot be run.
    """
    with ExitStack() as stack:
        networks = {subject.name: stack.enter_context(start(subject)) for subject in subjects}
        fixed: dict[Path, tuple[int, int] | None] = {}
        for subject in subjects:
            reporter.status(f"loading {subject.name}")
            info, _ = networks[subject.name].call("describe")
            fixed[subject.path] = info.size
        size = agree_on_size(fixed, size)
        pictures: list[TimedPicture] = []
        for file in images:
            pictures.append(load_picture(file, size))
            size = pictures[0].size
        if not pictures:
            pictures.append(draw_picture(size or PAPER_SIZE))
        turns: dict[str, Callable[[int], float]] = {
            _DECODING: lambda number: seconds_of(pictures[number % len(pictures)].decode)
        }
        product = {}
        if subjects[0].device == "cpu":
            reporter.status("multiplying matrices")
            threads = subjects[0].threads
            products = stack.enter_context(Remote(_PRODUCTS, MatrixProducts, threads, SIDES))
            turns[_PRODUCTS] = functools.partial(products.call, "turn")
            product = products.call("about")
        pixels = [picture.pixels for picture in pictures]
        measured, others = measure(
            subjects, networks, pixels, turns, rounds, with_labels=with_labels, reporter=reporter
        )
    decoding, peak = others[_DECODING], others.get(_PRODUCTS, [])
    environment = describe_environment(PACKAGES)
    return Benchmark(measured, pictures, decoding, peak, product, environment)


def measure(
    subjects: Sequence[Subject],
    networks: Mapping[str, Remote],
    images: Sequence[np.ndarray],
    others: Mapping[str, Callable[[int], float]],
    rounds: int,
    *,
    with_labels: bool = False,
    reporter: Reporter = SILENT,
) -> tuple[list[Measured], dict[str, list[float]]]:
    """Measure running networks, and return the results of `others`, which take turns with them.

    Every round gives each network, a process from `start`, the next of `images`, uint8 RGB (height,
    width, 3) of one size, and each of `others` its number. If `with_labels` is True, the labels of
    all images are kept too.
    """
    size = (images[0].shape[0], images[0].shape[1])
    known: dict[str, tuple[NetworkInfo, str, Profile]] = {}
    for name, network in networks.items():
        reporter.status(f"warming up {name}")
        info, precision = network.call("describe")
        seen = size if info.resize is None else info.resize.size_of(size)
        known[name] = info, precision, profile(parse_model_config(info.model), seen)
        network.call("show", list(images))
    turns = {name: functools.partial(network.call, "turn") for name, network in networks.items()}
    taken = take_turns(turns | dict(others), rounds, reporter=reporter)
    labelled = range(len(images)) if with_labels else ()
    measured = [
        Measured(
            subject,
            *known[subject.name],
            taken[subject.name],
            networks[subject.name].call("memory"),
            [networks[subject.name].call("labels", index) for index in labelled],
        )
        for subject in subjects
    ]
    return measured, {name: taken[name] for name in others}


def start(subject: Subject) -> Remote:
    """Start a `TimedNetwork` in a process of its own."""
    return Remote(subject.name, TimedNetwork, subject)


def agree_on_size(
    fixed: Mapping[Path, tuple[int, int] | None], wanted: tuple[int, int] | None
) -> tuple[int, int] | None:
    """Find the one (height, width) that all files take; None if all leave it open.

    `fixed` is the only size that each file takes, or None if it takes every size. Raises
    `BenchmarkError` if these and the wanted size differ.
    """
    for path, size in fixed.items():
        if size and wanted and size != wanted:
            raise BenchmarkError(
                f"{path} takes {size[0]}x{size[1]} only, but `size` or another file wants "
                f"{wanted[0]}x{wanted[1]}: time it on its own without `size`, or export it with "
                f"`size` {wanted[0]}x{wanted[1]}, or without `size` for every size"
            )
        wanted = size or wanted
    return wanted
