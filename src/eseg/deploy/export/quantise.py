"""Exports in 8-bit integers: calibrated on real images, measured on others, refused if worse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eseg.checkpoint import Checkpoint
from eseg.choices import Int8Format, Outputs
from eseg.config import DataConfig, open_split
from eseg.data.dataset import SegmentationDataset
from eseg.data.folder import Folder
from eseg.deploy.export.calibration import CalibrationImages
from eseg.deploy.export.export import (
    GRAPH_FORMATS,
    check_request,
    describe,
    opened,
    publish,
    workshop,
    writing,
)
from eseg.deploy.export.int8_onnx import quantise_onnx
from eseg.deploy.export.int8_openvino import quantise_openvino
from eseg.deploy.export.pixel_network import PixelNetwork
from eseg.deploy.verify.accuracy import Track, file_scores
from eseg.errors import DataError, ExportError

_QUANTISERS: dict[Int8Format, Callable[[Any, CalibrationImages], Any]] = {
    "onnx": quantise_onnx,
    "openvino": quantise_openvino,
}

CALIBRATION_IMAGES = 100
"""Images that ranges are taken from by default, at most."""

MAX_DROP = 0.3
"""Points of mIoU, of 100, that an 8-bit file may lose by default."""


@dataclass(frozen=True)
class Int8Export:
    """An 8-bit file and what it was measured at.

    Attributes:
        path: The file, absolute.
        miou: Mean IoU of the 8-bit network on the validation split, in [0, 1].
        miou_fp32: That of the network as it was, in the same engine.
        calibrated_on: Images that the ranges were taken from.
        measured_on: Images that both were measured on.
    """

    path: Path
    miou: float
    miou_fp32: float
    calibrated_on: int
    measured_on: int

    @property
    def drop(self) -> float:
        """Points of mIoU, of 100, that were lost; below 0 if the 8-bit network is better."""
        return 100 * (self.miou_fp32 - self.miou)


def export_int8(
    checkpoint: str | Path | Checkpoint,
    output: Path,
    *,
    format: Int8Format,  # noqa: A002 - as on the command line
    data: DataConfig,
    size: tuple[int, int] | None = None,
    outputs: Outputs = "logits",
    images: int = CALIBRATION_IMAGES,
    max_drop: float = MAX_DROP,
    track: Track | None = None,
) -> Int8Export:
    """Write a trained network in 8-bit integers, if it is as good as the original.

    The ranges of all maps are taken from images of the training split, at their own size or what
    the checkpoint's run brought them to; then both are measured on the validation split.

    Args:
        checkpoint: The network, or the file that holds it.
        output: Where to write; its suffix is that of the format.
        format: `onnx` or `openvino`.
        data: The data set; its classes must be the network's.
        size: The one (height, width) that the file shall take, for speed; None for every size.
        outputs: As for `export_checkpoint`.
        images: Images to calibrate on at most, spread evenly over the training split.
        max_drop: Points of mIoU, of 100, that may be lost.
        track: Wraps the numbers of images to show progress.

    Raises:
        CheckpointError: The checkpoint cannot be read or used.
        DataError: The data set is not as described, has other classes than the network, or its two
            splits share images.
        ExportError: More than `max_drop` was lost, and no file is left behind; or as for
            `export_checkpoint`.
    """
    if images < 1:
        raise ExportError(f"at least 1 image is needed to calibrate on, not {images}")
    check_request(output, format, size)
    checkpoint = opened(checkpoint)
    train, val = _splits(data, checkpoint)
    calibration = CalibrationImages(train, images, track, checkpoint.resize)

    tools = GRAPH_FORMATS[format]
    network = PixelNetwork(checkpoint.build_model(), outputs=outputs, normalise=tools.normalise)
    with workshop(output) as folder:
        any_size = folder / f"any_size{output.suffix}"
        model = tools.build(network, None)
        with writing(output):
            tools.save(model, any_size, describe(checkpoint, outputs=outputs))
        before = file_scores(any_size, val, track=track, description="measuring fp32").miou

        model = _QUANTISERS[format](model, calibration)
        with writing(output):
            tools.save(model, any_size, describe(checkpoint, outputs=outputs, precision="int8"))
        after = file_scores(any_size, val, track=track, description="measuring int8").miou

        result = Int8Export(output.resolve(), after, before, len(calibration), len(val))
        if not result.drop <= max_drop:  # not a number is refused as well
            raise ExportError(
                f"in 8 bits the network loses {result.drop:.2f} points of mIoU on split "
                f"'{data.val_split}' ({100 * before:.2f} -> {100 * after:.2f}), more than "
                f"--max-drop {max_drop:g}; nothing was written. Calibrate on more images "
                "(--images), take the other format, or export without --int8"
            )
        if size is not None:
            tools.narrow(model, size)
        info = describe(checkpoint, size=size, outputs=outputs, precision="int8")
        with writing(output):
            files = tools.save(model, folder / output.name, info)
        publish(files, output)
    return result


def _splits(
    data: DataConfig, checkpoint: Checkpoint
) -> tuple[SegmentationDataset, SegmentationDataset]:
    """The split to calibrate on and the one to measure on, without an image in common."""
    train, val = open_split(data, data.train_split), open_split(data, data.val_split)
    if train.classes.names != checkpoint.classes.names:
        raise DataError(
            f"the network knows the classes {', '.join(checkpoint.classes.names)}; the data set "
            f"{data.dataset} has {', '.join(train.classes.names)}: calibrate on its own"
        )
    shared = data.train_split == data.val_split
    if isinstance(train, Folder) and isinstance(val, Folder):
        shared = not set(train.image_paths).isdisjoint(val.image_paths)
    if shared:
        raise DataError(
            f"{data.dataset}: the splits '{data.train_split}' and '{data.val_split}' share images; "
            "an 8-bit network is measured on images that it was not calibrated on"
        )
    return train, val
