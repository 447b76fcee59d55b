"""A toy data set that is learnt in seconds, one finished run on it that many tests read, and tiny
copies of official data sets in their exact layouts."""

import ast
import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

if "PYTEST_XDIST_WORKER" in os.environ:  # before NumPy and torch start their threads
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import jaxtyping
import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw
from rich.console import Console

from eseg.checkpoint import load_checkpoint
from eseg.cli.screen import RichReporter
from eseg.config import open_split, parse_config
from eseg.deploy.export.export import export
from eseg.runtime.engine_table import format_of
from eseg.runtime.predictor import Predictor
from eseg.training.trainer import train

TESTS = Path(__file__).parent
ENGINES = {"deploy", "engines", "inference", "runtime"}
"""Folders whose tests load OpenVINO, ONNX Runtime, Numba and compiled packages."""

CLASSES = (("ground", (90, 90, 90)), ("box", (200, 40, 40)), ("ball", (40, 60, 220)))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make two groups of about the same length, for the two processes that share the suite."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        item.add_marker(pytest.mark.xdist_group("engines" if folder in ENGINES else "rest"))


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


@pytest.fixture
def picture():
    """Makes an image of noise, and labels in [0, 3) with two rows that have none."""

    def make(height=24, width=40):
        generator = np.random.default_rng(height)
        image = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        mask = generator.integers(0, 3, (height, width), dtype=np.uint8)
        mask[:2] = 255
        return image, mask

    return make


@pytest.fixture
def holds():
    """Tells whether some pixel of an image has a colour."""

    def look(image, colour):
        return (np.asarray(image) == colour).all(axis=-1).any()

    return look


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
        result = train(
            config, folder, device="cpu", reporter=RichReporter(Console(file=file, width=100))
        )
        file.seek(0)
        printed = file.read()
    return SimpleNamespace(config=config, folder=folder, result=result, printed=printed)


@pytest.fixture(scope="session")
def toy_model(toy_run):
    """The network of that run, in evaluation mode."""
    return load_checkpoint(toy_run.folder / "best.pt").build_model()


@pytest.fixture(scope="session")
def best(toy_run):
    """The checkpoint of that run."""
    return toy_run.folder / "best.pt"


@pytest.fixture(scope="session")
def exported(best, tmp_path_factory):
    """Makes an export of that checkpoint, or gives the one made before: do not change it."""
    folder, made = tmp_path_factory.mktemp("exported"), {}

    def make(name, **options):
        if name not in made:
            before = jaxtyping.config.jaxtyping_disable
            jaxtyping.config.update("jaxtyping_disable", True)  # as in `unchecked`
            options["format"] = format_of(name)
            made[name] = export(best, folder / name, **options)
            jaxtyping.config.update("jaxtyping_disable", before)
        return made[name]

    return make


@pytest.fixture(scope="session")
def resizing(best):
    """That checkpoint, as if it had been trained on images with a shorter side of 32 pixels."""
    checkpoint = load_checkpoint(best)
    data = checkpoint.run["data"] | {"resize": {"shorter_side": 32}}
    return replace(checkpoint, run=checkpoint.run | {"data": data})


@pytest.fixture(scope="session")
def predict(best):
    return Predictor(best, device="cpu", with_confidence=True)


@pytest.fixture(scope="session")
def sample(toy_run):
    return open_split(toy_run.config.data, "val")[0]


@pytest.fixture(scope="session")
def noise():
    """Makes an image in which neighbours differ."""

    def make(height, width):
        return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)

    return make


@pytest.fixture
def unchecked():
    """As users call it: compilers cannot trace the tests' checks of annotations."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def mmseg_metainfo():
    """Classes and palette as a source file of mmsegmentation has them; nothing of it is run."""

    def read(module: str, dataset: str) -> tuple[list[str], list[tuple[int, int, int]]]:
        package = Path(importlib.util.find_spec("mmseg").origin).parent
        tree = ast.parse((package / "datasets" / f"{module}.py").read_text())
        (named,) = (x for x in tree.body if isinstance(x, ast.ClassDef) and x.name == dataset)
        (info,) = (
            x.value
            for x in named.body
            if isinstance(x, ast.Assign) and x.targets[0].id == "METAINFO"
        )
        values = {item.arg: ast.literal_eval(item.value) for item in info.keywords}
        return list(values["classes"]), [tuple(colour) for colour in values["palette"]]

    return read


def write_pair(image: Path, mask: Path | None, values, size, palette=None) -> None:
    """An image of noise, and a mask of blocks that show these values in turn."""
    rng = np.random.default_rng([*image.name.encode()])
    height, width = size
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(image)
    if mask is None:
        return
    mask.parent.mkdir(parents=True, exist_ok=True)
    places = np.arange(height * width) * len(values) // (height * width)
    labels = Image.fromarray(
        np.array(values, np.uint8)[places].reshape(height, width, -1).squeeze()
    )
    if palette is not None:
        labels.putpalette([part for colour in palette for part in colour])
    labels.save(mask)


def write_cityscapes(root: Path) -> None:
    fine = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 26, 27, 28, 31, 32, 33, 0, 4, 6, 18, 30]
    for split, city, frames, kinds in (
        ("train", "aachen", 2, ("gtFine", "gtCoarse")),
        ("train", "bochum", 1, ("gtFine", "gtCoarse")),
        ("val", "frankfurt", 2, ("gtFine", "gtCoarse")),
        ("val", "munster", 1, ("gtFine", "gtCoarse")),
        ("test", "berlin", 2, ("gtFine",)),
        ("train_extra", "augsburg", 1, ("gtCoarse",)),
    ):
        for frame in range(frames):
            stem = f"{city}_{frame:06}_000019"
            image = root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png"
            for kind in kinds:
                values = {"gtFine": fine[frame:], "gtCoarse": [0, 7, 7, 23, 26]}[kind]
                mask = root / kind / split / city / f"{stem}_{kind}_labelIds.png"
                write_pair(image, mask, [3] if split == "test" else values, (33, 65 + 2 * frame))
                mask.with_name(f"{stem}_{kind}_polygons.json").write_text("{}")


def write_ade20k(root: Path) -> None:
    for split, word in (("training", "train"), ("validation", "val")):
        for number in (1, 2):
            name = f"{split}/ADE_{word}_{number:08}"
            mask = root / "annotations" / f"{name}.png"
            values = [*range(151), *range(60)][number:]
            write_pair(root / "images" / f"{name}.jpg", mask, values, (31 + 10 * number, 57))
    image = root / "release_test" / "testing" / "ADE_test_00000001.jpg"
    write_pair(image, None, (), (45, 37))
    (root / "objectInfo150.txt").write_text("Idx\tRatio\tTrain\tVal\tName\n")


def write_vistas(root: Path, versions: dict[str, tuple[str, list, list]]) -> None:
    for folder, (config, names, palette) in versions.items():
        labels = [
            {"name": f"object--{i}", "readable": name, "color": list(colour)}
            | {"instances": False, "evaluate": name not in ("Unlabeled", "Ground")}
            for i, (name, colour) in enumerate(zip(names, palette, strict=True))
        ]
        (root / config).write_text(json.dumps({"version": "1", "labels": labels}))
        for split in ("training", "validation"):
            for number in (1, 2):
                image = root / split / "images" / f"{split[0]}-x_{number}.jpg"
                mask = root / split / folder / f"{image.stem}.png"
                ids = [len(names) - 1, *range(len(names))][number - 1 :]
                write_pair(image, mask, ids, (35, 49 + number), palette)
    write_pair(root / "testing/images/_t1.jpg", None, (), (21, 35))


def write_camvid_segnet(root: Path) -> None:
    frames = {"train": "0001TP_006690", "val": "0016E5_07959", "test": "Seq05VD_f00000"}
    for split, frame in frames.items():
        mask = root / f"{split}annot" / f"{frame}.png"
        write_pair(root / split / f"{frame}.png", mask, range(12), (23, 31))


@pytest.fixture(scope="session")
def official_root(tmp_path_factory, mmseg_metainfo):
    """Makes the folder of an official data set, or gives the one made before: do not change it."""
    v1 = ("config.json", *mmseg_metainfo("mapillary", "MapillaryDataset_v1"))
    v2 = ("config_v2.0.json", *mmseg_metainfo("mapillary", "MapillaryDataset_v2"))
    both = {"v1.2/labels": ("config_v1.2.json", *v1[1:]), "v2.0/labels": v2}
    writers = {
        "cityscapes": write_cityscapes,
        "ade20k": write_ade20k,
        "vistas": lambda root: write_vistas(root, {"labels": v1}),
        "vistas_v2": lambda root: write_vistas(root, both),
        "camvid": write_camvid_segnet,
    }
    made = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            writers[name](made[name])
        return made[name]

    return make
