"""Quickstart: training, evaluation and predictions on procedural street scenes."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from PIL import Image

from eseg.config import load_config, open_split
from eseg.inference.image_files import list_images, predict_files
from eseg.reports.reporter import SILENT, Reporter
from eseg.runtime.predictor import Predictor
from eseg.training.trainer import train

SCENES = 8
"""Number of scenes that are written as images and labelled."""


@dataclass(frozen=True)
class QuickstartResult:
    """Outcome of the quickstart.

    Attributes:
        checkpoint: The trained network.
        miou: mIoU on unseen scenes, in [0, 1].
        scenes: Number of those scenes.
        overlays: Folder of pictures of predictions.
    """

    checkpoint: Path
    miou: float
    scenes: int
    overlays: Path


def run_quickstart(
    output: Path, *, device: str | None = None, reporter: Reporter = SILENT
) -> QuickstartResult:
    """Train on procedural street scenes, evaluate on unseen ones and label some image files.

    Args:
        output: Folder for all files; an interrupted run there is resumed.
        device: `cuda`, `mps`, `cpu`, or None for the fastest.
        reporter: Receiver of lines, figures and tables while the run goes on.
    """
    with as_file(files("eseg") / "quickstart.yaml") as path:
        config = load_config(path)
    result = train(config, output, device=device, resume=output.exists(), reporter=reporter)

    unseen = open_split(config.data, config.data.val_split)
    folder, predictions = output / "scenes", output / "predictions"
    folder.mkdir(exist_ok=True)
    for index in range(SCENES):
        scene = unseen[index]
        Image.fromarray(scene.image).save(folder / f"{Path(scene.name).name}.png")
    predictor = Predictor(result.checkpoint, device=device)
    for outcome in predict_files(predictor, list_images([folder], predictions), predictions):
        assert outcome.error is None
    return QuickstartResult(result.checkpoint, result.miou, len(unseen), predictions / "overlays")
