"""The first five minutes: train, measure and look, with nothing but the package."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

from eseg.config import load_config, open_split
from eseg.inference.image_files import list_images, predict_files
from eseg.runtime.predictor import Predictor
from eseg.training.trainer import train

SCENES = 8


def run_quickstart(output: Path, device: str | None, console: Console) -> float:
    """Train on procedural street scenes, evaluate on unseen ones and label some image files.

    Args:
        output: Folder for everything; the run goes on where it was if it was interrupted.
        device: `cuda`, `mps`, `cpu`, or None for the best there is.
        console: Where to print.

    Returns:
        mIoU on unseen scenes.
    """
    with as_file(files("eseg") / "quickstart.yaml") as path:
        config = load_config(path)
    result = train(config, output, device=device, resume=output.exists(), console=console)

    scenes = open_split(config.data, config.data.val_split)
    folder = output / "scenes"
    folder.mkdir(exist_ok=True)
    for index in range(SCENES):
        scene = scenes[index]
        Image.fromarray(scene.image).save(folder / f"{Path(scene.name).name}.png")
    predict = Predictor(result.checkpoint, device=device)
    for outcome in predict_files(
        predict, list_images([folder], output / "predictions"), output / "predictions"
    ):
        assert outcome.error is None

    miou = result.best["miou"]
    ending = Text.assemble(
        f"\nmIoU on {len(scenes)} unseen scenes: ",
        (f"{miou:.3f}", "bold"),
        f"\n  look at     {output / 'sheet.png'}, {output / 'curve.png'}, "
        f"{output / 'predictions' / 'overlays'}\n"
        f"  predict     eseg predict {result.checkpoint} YOUR_IMAGES --output out\n"
        "  own data    configs/own_data and docs/data.md in the repository say how",
    )
    console.print(ending, soft_wrap=True)
    return miou
