"""From pixels to labels in steps that can be timed apart, on every engine.

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

from eseg.choices import Outputs

STAGES = ("preprocess", "network", "labels")
"""Steps from a uint8 image in memory to uint8 labels in memory; not every engine has all."""

Step = Callable[[Any], Any]

_WARM_UP_SECONDS = 0.5


@dataclass(frozen=True)
class Subject:
    """One network on one engine.

    Attributes:
        name: What to call it beside others.
        path: The file that the engine loads.
        engine: `torch`, `compile`, `onnxruntime`, `openvino` or `aotinductor`.
        device: Where to compute: `cpu`, `cuda`, `cuda:1`, `mps`.
        precision: `auto`, `fp32`, `bf16` or `fp16`, as for `eseg.Predictor`.
        threads: Threads of a CPU to compute with.
        is_trained: Whether its weights are more than random numbers.
    """

    name: str
    path: Path
    engine: str
    device: str = "cpu"
    precision: str = "auto"
    threads: int = 1
    is_trained: bool = True


@dataclass(frozen=True)
class About:
    """What is known of a network once it is loaded.

    Attributes:
        model: Its config in plain form.
        size: The one (height, width) in pixels that it accepts, or None for any size.
        precision: The arithmetic that it is computed in: `fp32`, `bf16`, `fp16` or `int8`.
        outputs: `labels` where upsampling and argmax are part of the network.
    """

    model: dict[str, Any]
    size: tuple[int, int] | None
    precision: str
    outputs: Outputs


@dataclass(frozen=True)
class Stages:
    """A loaded network.

    Attributes:
        about: What is known of it.
        steps: Gives, for images of a (height, width), the steps by the names in `STAGES`: each
            takes what the one before returned, the first a uint8 image (height, width, 3), and the
            last returns uint8 labels (height, width).
        wait: Returns once the device has done all it was told; None where steps return only then.
        cuda_bytes: Gives the most memory that torch has had on the CUDA device; None elsewhere.
    """

    about: About
    steps: Callable[[tuple[int, int]], dict[str, Step]]
    wait: Callable[[], None] | None = None
    cuda_bytes: Callable[[], int] | None = None


def open_stages(subject: Subject) -> Stages:
    """Load a network.

    Raises:
        CheckpointError, ExportFileError, EngineError, DeviceError: As `eseg.Predictor`.
    """
    if subject.engine in ("torch", "compile"):
        from eseg.deploy.benchmark.torch_stages import open_checkpoint

        return open_checkpoint(subject)
    if subject.engine == "aotinductor":
        from eseg.deploy.benchmark.torch_stages import open_package

        return open_package(subject)
    return _open_export(subject)


def _open_export(subject: Subject) -> Stages:
    from eseg.runtime.sessions import open_session
    from eseg.runtime.upsampling import upsample_labels

    session = open_session(
        subject.path,
        engine=subject.engine,
        device=subject.device,
        precision=None if subject.precision == "auto" else subject.precision,
        threads=subject.threads,
    )
    info = session.info

    def steps(size: tuple[int, int]) -> dict[str, Step]:
        def network(image: np.ndarray) -> np.ndarray:
            return session.run(image[None])[0]

        if info.outputs == "labels":
            return {"network": network}
        return {"network": network, "labels": lambda logits: upsample_labels(logits, size)}

    return Stages(About(info.model, info.size, session.precision, info.outputs), steps)


def time_steps(
    steps: Mapping[str, Step],
    image: np.ndarray,
    *,
    wait: Callable[[], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Take one image through all steps.

    Where steps return before the device has done its work, the image goes through them twice: once
    with a wait after every step, and once with a wait at the end alone, since waiting itself costs
    time. Elsewhere the whole is the sum of the steps.

    Returns:
        Seconds by step, and of the `whole`.
    """
    seconds, value = {}, image
    start = before = clock()
    for name, step in steps.items():
        value = step(value)
        if wait is not None:
            wait()
        now = clock()
        seconds[name] = now - before
        before = now
    if wait is None:
        return seconds | {"whole": before - start}
    start, value = clock(), image
    for step in steps.values():
        value = step(value)
    wait()
    return seconds | {"whole": clock() - start}


class TimedNetwork:
    """A network that takes its turns among others; it is meant for a process of its own.

    Args:
        subject: What to load.
    """

    def __init__(self, subject: Subject) -> None:
        self._before_mib = memory_mib()[0]
        self._stages = open_stages(subject)
        # A compiled network records a CUDA graph with the third image, and replays it from then on.
        self._warm_up_images = 4 if subject.engine == "compile" else 2
        self._images: list[np.ndarray] = []
        self._steps: dict[str, Step] = {}

    def about(self) -> About:
        """What is known of the network."""
        return self._stages.about

    def show(self, images: Sequence[np.ndarray]) -> None:
        """Take images to work on, uint8 RGB of one size, and warm up."""
        self._images = list(images)
        height, width, _ = images[0].shape
        self._steps = self._stages.steps((height, width))
        start, done = time.perf_counter(), 0
        while done < self._warm_up_images or time.perf_counter() - start < _WARM_UP_SECONDS:
            self.labels(done)
            done += 1

    def turn(self, index: int) -> dict[str, float]:
        """Seconds by step and of the whole for one image, as in a loop over many.

        One image goes ahead untimed: threads wake up and caches fill with this network's data.
        """
        self.labels(index)
        image = self._images[index % len(self._images)]
        return time_steps(self._steps, image, wait=self._stages.wait)

    def labels(self, index: int) -> np.ndarray:
        """The labels of one image, uint8 (height, width)."""
        value = self._images[index % len(self._images)]
        for step in self._steps.values():
            value = step(value)
        return value

    def memory(self) -> dict[str, float]:
        """MiB at the highest: of the process, since before the network, and allocated by CUDA."""
        peak = memory_mib()[1]
        memory = {"process": peak, "network": peak - self._before_mib}
        if self._stages.cuda_bytes is not None:
            memory["cuda"] = self._stages.cuda_bytes() / 2**20
        return memory


def memory_mib() -> tuple[float, float]:
    """Memory of this process that is resident now, and at the highest, in MiB."""
    status = Path("/proc/self/status")
    if not status.exists():
        # Bytes on macOS, where only the highest is to be had.
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
        return peak, peak
    # Not `ru_maxrss`: a process begins with that of the one which started it.
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0]) / 1024, int(fields["VmHWM"].split()[0]) / 1024
