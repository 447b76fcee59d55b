"""A toy data set that is learnt in seconds, and one finished run on it that many tests read."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw
from rich.console import Console

from eseg.checkpoint import load_checkpoint
from eseg.config import parse_config
from eseg.training.trainer import train

CLASSES = (("ground", (90, 90, 90)), ("box", (200, 40, 40)), ("ball", (40, 60, 220)))


def draw(index: int) -> tuple[np.ndarray, np.ndarray]:
    """A box and a ball on noisy ground, outlined without label; every index has its own size."""
    rng = np.random.default_rng(index)
    height, width = 48 + 3 * (index % 5), 72 - 5 * (index % 4)
    mask = Image.new("L", (width, height))
    pen = ImageDraw.Draw(mask)
    for class_id, shape in ((1, pen.rectangle), (2, pen.ellipse)):
        left, top = int(rng.integers(0, width - 30)), int(rng.integers(0, height - 30))
        shape((left, top, left + 28, top + 28), fill=class_id, outline=255)
    labels = np.array(mask)
    palette = np.zeros((256, 3))
    palette[: len(CLASSES)] = [colour for _, colour in CLASSES]
    image = palette[labels] + rng.normal(0, 10, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="session")
def toy_dataset(tmp_path_factory) -> Path:
    """The YAML of a data set with 8 images to train and 5 to evaluate on."""
    root = tmp_path_factory.mktemp("toy")
    for split, indices in (("train", range(8)), ("val", range(8, 13))):
        (root / split).mkdir()
        for index in indices:
            image, mask = draw(index)
            Image.fromarray(image).save(root / split / f"{index}.png")
            Image.fromarray(mask).save(root / split / f"{index}_mask.png")
    splits = {
        split: {"images": [f"{split}/{'?' * digits}.png" for digits in (1, 2)]}
        | {"masks": split + "/{stem}_mask.png"}
        for split in ("train", "val")
    }
    classes = [{"name": name, "colour": list(colour)} for name, colour in CLASSES]
    described = {"name": "toy", "root": ".", "splits": splits, "classes": classes}
    path = root / "toy.yaml"
    path.write_text(yaml.safe_dump(described))
    return path


@pytest.fixture(scope="session")
def toy_config(toy_dataset):
    """Makes the config of a run on the toy data; changes are given by key, as `train.steps`."""

    def build(changes=None):
        raw = {
            "model": {
                "backbone": "lite",
                "width": 0.2,
                "depth": 0.3,
                "min_level": 3,
                "max_level": 6,
                "channels": 8,
                "repeats": 1,
                "activation": "relu",
                "norm_momentum": 0.1,
            },
            "data": {"dataset": str(toy_dataset)},
            "augment": {"crop": [40, 56], "scale": [0.8, 1.25]},
            "train": {"steps": 8, "batch_size": 4, "precision": "fp32", "log_every": 1},
            "optim": {"lr": 0.4, "warmup_steps": 4},
            "loss": {"min_kept": 1.0},
            "loader": {"workers": 0},
        }
        for key, value in (changes or {}).items():
            section, _, name = key.partition(".")
            if name:
                raw.setdefault(section, {})[name] = value
            else:
                raw[section] = value
        return parse_config(raw)

    return build


@pytest.fixture(scope="session")
def toy_run(toy_config, tmp_path_factory):
    """A finished run: its config, folder, result and what it printed."""
    config = toy_config(
        {
            "train.steps": 60,
            "train.ema_decay": 0.9,
            "train.eval_every": 25,
            "train.checkpoint_every": 30,
            "train.log_every": 4,
        }
    )
    folder = tmp_path_factory.mktemp("runs") / "toy"
    with (folder.parent / "printed.txt").open("w+") as file:
        result = train(config, folder, device="cpu", console=Console(file=file, width=100))
        file.seek(0)
        printed = file.read()
    return SimpleNamespace(config=config, folder=folder, result=result, printed=printed)


@pytest.fixture(scope="session")
def toy_model(toy_run):
    """The network of that run, in evaluation mode."""
    return load_checkpoint(toy_run.folder / "best.pt").build_model()
