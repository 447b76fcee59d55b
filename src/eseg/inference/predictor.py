"""From a checkpoint or an exported file and any picture to labels: what other programs use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from eseg import runtime
from eseg.checkpoint import Checkpoint, load_checkpoint
from eseg.config import Precision
from eseg.devices import autocast_dtype, choose_device
from eseg.engines.aotinductor import PackagedNetwork
from eseg.engines.torch_engine import TorchNetwork
from eseg.errors import EngineError
from eseg.runtime.images import ImageLike, as_batch
from eseg.runtime.network_info import ExportInfo
from eseg.runtime.segmentation import Segmentation
from eseg.runtime.sessions import SUFFIXES

ENGINES = {"torch": (), "compile": (), **SUFFIXES, "aotinductor": (".pt2",)}
"""Exported files that each engine runs; those without any run checkpoints.

The first engine that runs a file is the one for it by default.
"""

_FORMATS = {"onnxruntime": "onnx", "openvino": "openvino", "aotinductor": "pt2"}


class Predictor:
    """A trained network, ready to label images of any size.

    Args:
        checkpoint: File written by training, or one already loaded; or what `eseg export` wrote:
            `.onnx`, `.xml` (OpenVINO) or `.pt2` (AOTInductor, machine code: load only files that
            you trust).
        device: `cuda`, `mps`, `cpu`, or None for the best there is; for exported files the CPU
            unless another is named, and for `.pt2` the device that it was compiled for.
        precision: `auto` is bf16 on GPUs that have it and fp32 elsewhere; exported files run as
            they were exported, unless OpenVINO is asked for another.
        engine: `torch` or `compile` for checkpoints, `onnxruntime` or `openvino` for `.onnx`,
            `openvino` for `.xml`, `aotinductor` for `.pt2`; the first of these if None. `compile`
            takes a minute or more for the first image of each size, and then replays CUDA graphs
            on GPUs: it is for many images of few sizes.
        scales: Factors of the image's size to run at and average over (section 4.4); checkpoints
            only.
        flip: Average with the mirror image too; checkpoints only.
        with_confidence: Whether the probability of every label is wanted; it costs a softmax at
            full size.

    Attributes:
        engine: The engine that runs it.
        names: One name per class; a label is a position in them.
        palette: One RGB colour in [0, 255] per class.
        info: What an exported file says of itself; None for a checkpoint.

    Raises:
        ValueError: A scale is not above 0.
        CheckpointError: The file is not a checkpoint, or its network does not take RGB.
        ExportFileError: The file is no export of eseg, or cannot give what is wanted.
        EngineError: The engine is unknown, not installed, or cannot do what was asked.
        DeviceError: The device is not there.

    Example:
        >>> predict = Predictor("runs/camvid/best.pt")
        >>> predict("street.jpg").overlay().save("overlay.png")
    """

    def __init__(
        self,
        checkpoint: str | Path | Checkpoint,
        *,
        device: str | None = None,
        precision: Precision = "auto",
        engine: str | None = None,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        with_confidence: bool = False,
    ) -> None:
        self.engine = choose_engine(checkpoint, engine)
        self.info: ExportInfo | None = None
        self._network: TorchNetwork | PackagedNetwork | runtime.Predictor
        if isinstance(checkpoint, Checkpoint) or not ENGINES[self.engine]:
            if not isinstance(checkpoint, Checkpoint):
                checkpoint = load_checkpoint(checkpoint)
            place = choose_device(device)
            self._network = TorchNetwork(
                checkpoint,
                device=place,
                dtype=autocast_dtype(precision, place),
                compiled=self.engine == "compile",
                scales=scales,
                flip=flip,
                with_confidence=with_confidence,
            )
            self.names, self.palette = checkpoint.classes.names, checkpoint.classes.colours
            return

        path = Path(checkpoint)
        if tuple(scales) != (1.0,) or flip:
            raise EngineError(
                f"{path}: an exported network runs at one scale and unmirrored; scales and flip "
                "need the checkpoint"
            )
        arithmetic = None if precision == "auto" else precision
        if self.engine == "aotinductor":
            self._network = PackagedNetwork(
                path, device=device, precision=arithmetic, with_confidence=with_confidence
            )
        else:
            self._network = runtime.Predictor(
                path,
                engine=self.engine,
                device=device,
                precision=arithmetic,
                with_confidence=with_confidence,
            )
        self.info = self._network.info
        self.names, self.palette = self.info.names, self.info.palette

    @overload
    def __call__(self, image: ImageLike) -> Segmentation: ...

    @overload
    def __call__(self, image: Sequence[ImageLike]) -> list[Segmentation]: ...

    def __call__(self, image: ImageLike | Sequence[ImageLike]) -> Segmentation | list[Segmentation]:
        """Label one image, or several, each at its own size.

        A checkpoint's network takes those of one size together, so memory grows with their number.

        Args:
            image: A file; a Pillow picture of 8 bits, taken as it lies (EXIF orientation is not
                applied); uint8 RGB (height, width, 3); a sequence of those; or uint8 RGB (batch,
                height, width, 3).

        Returns:
            The labels; a list of them for a sequence or a batch.

        Raises:
            ImageError: Something is no readable image, or not of the size that the file takes.
            EngineError: The network cannot be compiled here.
        """
        network = self._network
        if isinstance(network, runtime.Predictor):
            return network(image)
        images, several = as_batch(image)
        alike: dict[tuple[int, ...], list[int]] = {}
        for index, pixels in enumerate(images):
            alike.setdefault(pixels.shape, []).append(index)
        results: dict[int, Segmentation] = {}
        for indices in alike.values():
            labels, confidence = network(np.stack([images[index] for index in indices]))
            for position, index in enumerate(indices):
                results[index] = Segmentation(
                    image=images[index],
                    labels=labels[position],
                    confidence=None if confidence is None else confidence[position],
                    names=self.names,
                    palette=self.palette,
                )
        ordered = [results[index] for index in range(len(images))]
        return ordered if several else ordered[0]


def choose_engine(checkpoint: str | Path | Checkpoint, engine: str | None) -> str:
    """The engine asked for, or the one for this file; see `ENGINES`.

    Raises:
        EngineError: The engine is unknown, or does not run such a file.
    """
    suffix = "" if isinstance(checkpoint, Checkpoint) else Path(checkpoint).suffix.lower()
    fitting = [name for name, suffixes in ENGINES.items() if suffix in suffixes]
    is_export = bool(fitting)
    fitting = fitting or [name for name, suffixes in ENGINES.items() if not suffixes]
    if engine is None:
        return fitting[0]
    if engine not in ENGINES:
        raise EngineError(f"no engine {engine!r}; there are {', '.join(ENGINES)}")
    if engine in fitting:
        return engine
    if is_export:
        raise EngineError(
            f"{checkpoint}: {engine} does not run {suffix} files; take {' or '.join(fitting)}, or "
            f"give {'the checkpoint' if not ENGINES[engine] else 'another file'}"
        )
    source = "CHECKPOINT" if isinstance(checkpoint, Checkpoint) else checkpoint
    raise EngineError(
        f"{engine} does not run checkpoints; export it first: eseg export {source} --format "
        f"{_FORMATS[engine]}"
    )
