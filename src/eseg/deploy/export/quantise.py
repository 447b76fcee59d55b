"""Export in 8-bit integers: calibrated on real images, measured on others, refused if worse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from eseg.checkpoint import Checkpoint, load_checkpoint
from eseg.choices import FilePrecision, Outputs
from eseg.config import DataConfig
from eseg.data.dataset import SegmentationDataset
from eseg.data.folder import Folder
from eseg.data.loaders import LoaderConfig
from eseg.deploy.export.export import check_request, publish, staging_dir
from eseg.deploy.export.int8_graphs import CalibrationImages, quantise_onnx, quantise_openvino
from eseg.deploy.export.onnx_format import narrow_onnx, onnx_model, save_onnx
from eseg.deploy.export.openvino_format import narrow_openvino, openvino_model, save_openvino
from eseg.deploy.export.pixel_network import PixelNetwork
from eseg.errors import DataError, ExportError
from eseg.inference.evaluate import open_own_split, score
from eseg.models import ESeg
from eseg.reports.reporter import SILENT, Reporter
from eseg.runtime.engine_table import open_engine
from eseg.runtime.network_info import NetworkInfo
from eseg.runtime.writing import output_errors


class GraphTools(NamedTuple):
    """Steps of an 8-bit export in one format."""

    build: Callable[[ESeg, Outputs], Any]
    """Turns a network with its outputs into the format's model for every size."""
    quantise: Callable[[Any, CalibrationImages], Any]
    """Returns a copy of a model that computes in 8 bits."""
    narrow: Callable[[Any, tuple[int, int]], None]
    """Makes a model one for a single size, in place."""
    save: Callable[[Any, Path, NetworkInfo], list[Path]]
    """Writes a model with its description; returns the files, the one that is opened last."""


INT8_FORMATS: dict[str, GraphTools] = {
    "onnx": GraphTools(
        lambda network, outputs: onnx_model(PixelNetwork(network, outputs=outputs)),
        quantise_onnx,
        narrow_onnx,
        save_onnx,
    ),
    "openvino": GraphTools(openvino_model, quantise_openvino, narrow_openvino, save_openvino),
}

CALIBRATION_IMAGES = 100
"""Images that ranges are taken from by default, at most."""

MAX_DROP = 0.3
"""Points of mIoU, of 100, that an 8-bit file may lose by default."""


@dataclass(frozen=True)
class Int8Export:
    """An 8-bit file with its measured accuracy."""

    path: Path
    """The file, absolute."""
    miou: float
    """Mean IoU of the 8-bit network on the validation split, in [0, 1]."""
    miou_fp32: float
    """That of the network in floats, in the same engine."""
    calibrated_on: int
    """Images that the ranges were taken from."""
    measured_on: int
    """Images that both were measured on."""

    @property
    def drop(self) -> float:
        """Points of mIoU, of 100, that were lost; below 0 if the 8-bit network is better."""
        return 100 * (self.miou_fp32 - self.miou)


def export_int8(
    checkpoint: str | Path | Checkpoint,
    output: Path,
    *,
    format: str,  # noqa: A002 - as on the command line
    data: DataConfig,
    size: tuple[int, int] | None = None,
    outputs: Outputs = "logits",
    images: int = CALIBRATION_IMAGES,
    max_drop: float = MAX_DROP,
    reporter: Reporter = SILENT,
) -> Int8Export:
    """Write a trained network in 8-bit integers, if it is as good as the original.

    The ranges of all maps are taken from images of the training split, as the network sees them;
    then both are measured on the validation split.

    Args:
        checkpoint: As for `export`.
        output: File to write; its suffix is that of the format.
        format: A key of `INT8_FORMATS`.
        data: The data set; its classes must be the network's.
        size: As for `export`.
        outputs: As for `export`.
        images: Images to calibrate on at most, spread evenly over the training split.
        max_drop: Points of mIoU, of 100, that may be lost.
        reporter: Shows progress.

    Raises:
        CheckpointError: The checkpoint cannot be read or used.
        DataError: The data set is not as described, has other classes than the network, or its two
            splits share images.
        ExportError: More than `max_drop` was lost, and no file is left behind; or as for `export`.
        OutputError: The file cannot be written.
    """
    if images < 1:
        raise ExportError(f"`images`: at least 1 is needed to calibrate on, not {images}")
    if format not in INT8_FORMATS:
        raise ExportError(f"no 8-bit `format` {format!r}; there are {', '.join(INT8_FORMATS)}")
    check_request(output, format, size)
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = load_checkpoint(checkpoint)
    checkpoint.require_rgb()
    train, val = _splits(data, checkpoint)

    tools = INT8_FORMATS[format]
    with staging_dir(output) as folder:
        any_size = folder / f"any_size{output.suffix}"

        def measure(model: Any, precision: FilePrecision) -> float:
            info = checkpoint.describe(outputs=outputs, precision=precision)
            with output_errors(output):
                tools.save(model, any_size, info)
            engine, loader = open_engine(any_size), LoaderConfig(workers=0)
            doing = f"measuring {precision}"
            return score(engine, val, loader=loader, reporter=reporter, description=doing).miou

        model = tools.build(checkpoint.build_model(), outputs)
        before = measure(model, "fp32")
        calibration = CalibrationImages(train, images, open_engine(any_size), reporter)
        model = tools.quantise(model, calibration)
        after = measure(model, "int8")

        result = Int8Export(output.resolve(), after, before, len(calibration), len(val))
        if not result.drop <= max_drop:  # NaN is refused as well
            raise ExportError(
                f"in 8 bits the network loses {result.drop:.2f} points of mIoU on split "
                f"'{data.val_split}' ({100 * before:.2f} -> {100 * after:.2f}), more than "
                f"`max_drop` {max_drop:g}; nothing was written. Calibrate on more `images`, take "
                "the other format, or export in 32-bit floats"
            )
        if size is not None:
            tools.narrow(model, size)
        info = checkpoint.describe(size=size, outputs=outputs, precision="int8")
        with output_errors(output):
            files = tools.save(model, folder / output.name, info)
        publish(files, output)
    return result


def _splits(data: DataConfig, checkpoint: Checkpoint) -> list[SegmentationDataset]:
    """Open the split to calibrate on and the one to measure on, without an image in common."""
    train = open_own_split(checkpoint.classes, data, data.train_split)
    val = open_own_split(checkpoint.classes, data, data.val_split)
    shared = data.train_split == data.val_split
    if isinstance(train, Folder) and isinstance(val, Folder):
        shared = not set(train.image_paths).isdisjoint(val.image_paths)
    if shared:
        raise DataError(
            f"{data.dataset}: the splits '{data.train_split}' and '{data.val_split}' share images; "
            "an 8-bit network is measured on images that it was not calibrated on"
        )
    return [train, val]
