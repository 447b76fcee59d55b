"""The paper's rows as configs: of the right size, apart in what is named, and as documented."""

import dataclasses
import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
import typer
import yaml

from eseg.checkpoint import load_checkpoint
from eseg.cli import app, spell_out_scales
from eseg.config import load_config
from eseg.models import create_model, encoder
from eseg.self_training.pseudo_label import PseudoLabelConfig
from eseg.self_training.rounds import SelfTraining, self_train
from eseg.training.trainer import train

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
ALL = sorted(
    path.relative_to(CONFIGS).as_posix()
    for path in CONFIGS.rglob("*.yaml")
    if path.name != "dataset.yaml"
)
OTHERS = ("camvid/", "own_data/", "streets/", "self_training/camvid_eighth")
RECIPES = [name for name in ALL if not name.startswith(OTHERS)]
ABLATIONS = "cityscapes/ablations"

DEEPLAB = {"model.decoder": "deeplabv3plus", "model.channels": 256}
RESNET = {"model.backbone": "resnet50.tv_in1k"}
STUDENT = {
    "data.pseudo.fraction": 0.5,
    "train.steps": 46485,
    "train.batch_size": 128,
    "train.eval_every": 2500,
    "optim.lr": 0.16,
}
TUNED = {"train.steps": 37188, "train.eval_every": 2500, "optim.lr": 0.01}
FROM_SCRATCH = {"init.pretrained_backbone": None}


def from_vistas(size):
    """Keys of a run that starts from the one on Vistas."""
    return FROM_SCRATCH | {"init.checkpoint": f"../../runs/vistas_eseg_{size}/best.pt"}


DIFFERENCES = {
    ("cityscapes/eseg_s.yaml", f"{ABLATIONS}/eseg_s_p2_p5.yaml"): {"model.max_level": 5},
    ("cityscapes/eseg_s.yaml", f"{ABLATIONS}/eseg_s_p2_p7.yaml"): {"model.max_level": 7},
    ("cityscapes/eseg_s.yaml", f"{ABLATIONS}/fpn_p2_p9.yaml"): {"model.decoder": "fpn"},
    (f"{ABLATIONS}/eseg_s_p2_p5.yaml", f"{ABLATIONS}/fpn_p2_p5.yaml"): {"model.decoder": "fpn"},
    ("cityscapes/eseg_s.yaml", f"{ABLATIONS}/b1_deeplabv3plus.yaml"): DEEPLAB,
    (f"{ABLATIONS}/b1_deeplabv3plus.yaml", f"{ABLATIONS}/b1_deeplabv3plus_atrous.yaml"): {
        "model.atrous": True
    },
    ("cityscapes/eseg_s.yaml", f"{ABLATIONS}/resnet50_bifpn.yaml"): RESNET,
    ("cityscapes/eseg_s.yaml", f"{ABLATIONS}/resnet50_deeplabv3plus.yaml"): RESNET | DEEPLAB,
    (
        f"{ABLATIONS}/resnet50_deeplabv3plus.yaml",
        f"{ABLATIONS}/resnet50_deeplabv3plus_atrous.yaml",
    ): {"model.atrous": True},
    ("cityscapes/eseg_lite_m.yaml", "cityscapes/eseg_lite_m_512x1024.yaml"): {
        "data.resize.longer_side": 1024,
        "augment.crop": [512, 1024],
    },
    ("cityscapes/eseg_s.yaml", "cityscapes/eseg_lite_s.yaml"): {
        "model.preset": "eseg_lite_s",
        "augment.crop": [1024, 1024],
    }
    | FROM_SCRATCH,
    ("cityscapes/eseg_m.yaml", "ade20k/eseg_m.yaml"): {
        "data.dataset": "ade20k",
        "data.resize.shorter_side": 520,
        "augment.crop": [520, 520],
        "train.steps": 378938,
        "train.eval_every": 20000,
    },
    ("cityscapes/eseg_s.yaml", "vistas/eseg_s.yaml"): {
        "data.dataset": "vistas",
        "data.resize.longer_side": 2048,
        "augment.crop": [1024, 1024],
        "train.steps": 562500,
        "train.eval_every": 25000,
    },
}
for letter in "sml":
    base, tuned = f"cityscapes/eseg_{letter}.yaml", f"cityscapes/eseg_{letter}_vistas.yaml"
    student = f"self_training/eseg_{letter}"
    DIFFERENCES |= {
        (base, tuned): TUNED | from_vistas(letter),
        (base, f"{student}.yaml"): STUDENT,
        (base, f"{student}_vistas.yaml"): STUDENT | from_vistas(letter),
    }
for folder, kind, letters in (
    ("cityscapes", "eseg", "sml"), ("cityscapes", "eseg_lite", "sml"),
    ("vistas", "eseg", "sml"), ("ade20k", "eseg", "ml"),
):  # fmt: skip
    first, *rest = (f"{folder}/{kind}_{letter}.yaml" for letter in letters)
    DIFFERENCES |= {(first, other): {"model.preset": Path(other).stem} for other in rest}

PARAMETERS = {  # Tables 1 and 4, in millions
    "cityscapes/eseg_s.yaml": 6.9,
    "cityscapes/eseg_m.yaml": 20.0,
    "cityscapes/eseg_l.yaml": 70.5,
    f"{ABLATIONS}/eseg_s_p2_p5.yaml": 6.4,
    f"{ABLATIONS}/eseg_s_p2_p7.yaml": 6.6,
}
MACS = {  # Tables 1, 2, 4 and 8 and section 3.2, in 10^9; its counter has 1 to 4 % more
    "cityscapes/eseg_lite_s.yaml": 17,
    "cityscapes/eseg_s.yaml": 34.5,
    "cityscapes/eseg_m.yaml": 112,
    "cityscapes/eseg_l.yaml": 343,
    f"{ABLATIONS}/eseg_s_p2_p5.yaml": 34.3,
    f"{ABLATIONS}/eseg_s_p2_p7.yaml": 34.5,
    f"{ABLATIONS}/fpn_p2_p5.yaml": 39.8,
    f"{ABLATIONS}/fpn_p2_p9.yaml": 40.0,
    f"{ABLATIONS}/b1_deeplabv3plus_atrous.yaml": 91.8,
    f"{ABLATIONS}/b1_deeplabv3plus.yaml": 49.9,
    f"{ABLATIONS}/resnet50_bifpn.yaml": 188.0,
    f"{ABLATIONS}/resnet50_deeplabv3plus.yaml": 230.3,
}


@pytest.fixture(scope="module")
def benchmark():
    """benchmarks/recipes.py, which is a script and no part of the package."""
    path = ROOT / "benchmarks" / "recipes.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)  # for its dataclass
    spec.loader.exec_module(module)
    yield module
    del sys.modules[path.stem]


@pytest.fixture(scope="module")
def load(official_root):
    """Reads a config of the repository, changed or not; Vistas says its classes on the disk."""

    def read(name, *overrides):
        if name.startswith("vistas/"):
            overrides = (f"data.root={official_root('vistas')}", *overrides)
        return load_config(CONFIGS / name, overrides)

    return read


@pytest.fixture(scope="module")
def parameters_of():
    """Counts the parameters of a config's network; those that differ in classes are built once.

    A backbone is inspected once, which takes three of its forward passes.
    """
    built, inspected = {}, {}
    inspect = encoder._inspect

    def remember(backbone, strides):
        key = (backbone, *strides)
        if key not in inspected:
            inspected[key] = inspect(backbone, strides)
        return inspected[key]

    def count(config):
        classes = config.num_classes
        key = dataclasses.replace(config, num_classes=19)
        if key not in built:
            with pytest.MonkeyPatch.context() as patch, torch.device("meta"):
                patch.setattr(encoder, "_inspect", remember)
                built[key] = sum(p.numel() for p in create_model(key).parameters())
        return built[key] + (classes - 19) * (config.channels + 1)  # the 1x1 classifier's

    return count


def flat(name):
    """Read the values of a file by their path of keys."""
    found = {}

    def walk(values, prefix):
        for key, value in values.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")
            else:
                found[prefix + key] = value

    walk(yaml.safe_load((CONFIGS / name).read_text(encoding="utf-8")), "")
    return found


@pytest.mark.parametrize("name", ALL)
def test_every_config_loads_and_builds(name, load, parameters_of, benchmark):
    model = load(name).model
    assert parameters_of(model) > 1e6
    if name in RECIPES:
        counted = benchmark.read(benchmark.COUNTS)["rows"][name]
        assert parameters_of(model) == counted["parameters"]


def test_classes_change_the_classifier_alone(parameters_of, load):
    model = load("cityscapes/eseg_lite_s.yaml").model
    with torch.device("meta"):
        for classes in (65, 150):
            other = dataclasses.replace(model, num_classes=classes)
            real = sum(p.numel() for p in create_model(other).parameters())
            assert parameters_of(other) == real


def test_networks_have_the_papers_size(benchmark):
    counts = benchmark.read(benchmark.COUNTS)["rows"]
    for name, millions in PARAMETERS.items():
        assert round(counts[name]["parameters"] / 1e6, 1) == millions, name
    for name, printed in MACS.items():
        assert 0.96 < counts[name]["image_macs"] / 1e9 / printed < 1.01, name


def test_the_counts_are_those_of_the_networks(benchmark):
    name = "cityscapes/eseg_lite_s.yaml"
    assert benchmark.read(benchmark.COUNTS)["rows"][name] == benchmark.count(name)


@pytest.mark.parametrize(("base", "name"), DIFFERENCES)
def test_a_config_differs_from_its_base_in_the_named_keys_alone(base, name):
    before, after = flat(base), flat(name)
    changed = {
        key: after.get(key)
        for key in before.keys() | after.keys()
        if before.get(key) != after.get(key)
    }
    assert changed == DIFFERENCES[base, name]


def test_every_recipe_has_a_base_but_the_first():
    assert {name for _, name in DIFFERENCES} == set(RECIPES) - {"cityscapes/eseg_s.yaml"}


@pytest.mark.parametrize("name", RECIPES)
def test_steps_are_the_epochs_that_the_comment_says(name):
    text, config = (CONFIGS / name).read_text(encoding="utf-8"), flat(name)
    steps, epochs, images, share = re.search(
        r"steps: (\d+) # (\d+) epochs of (?:the )?([\d,]+) (?:fine )?images(?:, (\d+) of)?", text
    ).groups()
    in_a_batch = int(share or config["train.batch_size"])
    assert in_a_batch == config["train.batch_size"] * (1 - config.get("data.pseudo.fraction", 0))
    seen = int(steps) * in_a_batch / int(images.replace(",", ""))
    assert seen == pytest.approx(int(epochs), abs=0.05)


def test_every_row_is_a_config_and_every_config_a_row(benchmark):
    rows = [row for rows in benchmark.TABLES.values() for row in rows]
    assert {row.config for row in rows} == set(RECIPES)
    assert {row.teacher for row in rows if row.teacher} <= set(RECIPES)
    assert benchmark.read(benchmark.COUNTS)["rows"].keys() == set(RECIPES)


def test_headers_say_the_row_its_figure_and_that_it_was_not_run(benchmark):
    for table, rows in benchmark.TABLES.items():
        for row in rows:
            text = (CONFIGS / row.config).read_text(encoding="utf-8")
            lines = [line[2:] for line in text.splitlines() if line.startswith("# ")]
            header = " ".join(lines)
            assert text.startswith("# ")
            assert "Not run by us" in header
            if row.paper != "-":
                assert table.title() in header, row
                assert all(figure in header for figure in row.paper.split(" / ")), row


def test_the_document_is_what_the_script_makes_of_it(benchmark):
    text = benchmark.DOCUMENT.read_text(encoding="utf-8")
    assert benchmark.fill(text) == text
    assert benchmark.fill(re.sub(r"\| \d+\.\d\d M of", "| 9 M of", text)) == text
    named = set(re.findall(r"configs/([\w/]+\.yaml)", text))
    assert named == set(RECIPES)


def test_every_command_of_the_document_parses(benchmark, monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda _: True)  # the reader's files, not ours
    text = benchmark.DOCUMENT.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^eseg .*", text, re.MULTILINE)
    assert len(lines) > len(RECIPES)
    for line in lines:
        _, *words = shlex.split(line)
        verb = typer.main.get_command(app).commands[words[0]]
        verb.make_context(words[0], spell_out_scales(words[1:]))


def test_estimates_follow_the_measurement(benchmark):
    counts, throughput = (benchmark.read(p) for p in (benchmark.COUNTS, benchmark.THROUGHPUT))
    row = benchmark.TABLES["table 4"][0]
    measured = throughput["results"]["eseg_s"]["images_per_second"]
    # Crops of 512x1024 have four times the pixels of those that were measured.
    expected = 90_000 * 16 * 4 / measured / 86_400
    assert benchmark.days(row, counts, throughput) == pytest.approx(expected, rel=0.02)
    assert [benchmark.two_digits(x) for x in (0.123, 8.94, 94.4, 2721.0)] == [
        "0.12", "8.9", "94", "2700",
    ]  # fmt: skip


SMALL = (
    "model.preset=eseg_lite_s",
    "model.width=0.2",
    "model.depth=0.3",
    "model.channels=8",
    "init.pretrained_backbone=false",
    "augment.crop=[32, 48]",
    "train.steps=2",
    "train.batch_size=2",
    "train.precision=fp32",
    "loader.workers=0",
)


@pytest.mark.parametrize(
    ("dataset", "name", "changes"),
    [
        ("ade20k", "ade20k/eseg_m.yaml", ("data.resize.shorter_side=40",)),
        ("camvid", "camvid/eseg_lite_s.yaml", ("data.dataset=camvid",)),
    ],
)
def test_two_steps_on_a_data_set_in_its_own_layout(
    dataset, name, changes, load, official_root, tmp_path
):
    config = load(name, *SMALL, f"data.root={official_root(dataset)}", *changes)
    result = train(config, tmp_path / "run", device="cpu")
    trained = load_checkpoint(result.checkpoint)
    assert trained.step == 2
    assert trained.resize == config.data.resize
    assert len(trained.scores["iou"]) == config.model.num_classes
    assert result.last_miou == result.best["miou"]


def test_two_steps_from_vistas_to_a_student_on_cityscapes(load, official_root, tmp_path):
    """The combined row of Table 7: pre-training, fine-tuning, pseudo-labels, the student."""
    vistas = load("vistas/eseg_s.yaml", *SMALL, "data.resize.longer_side=60")
    pretrained = train(vistas, tmp_path / "vistas", device="cpu")
    root = official_root("cityscapes")
    here = (*SMALL, f"data.root={root}", f"init.checkpoint={pretrained.checkpoint}")
    plan = SelfTraining(
        teacher=load("cityscapes/eseg_s_vistas.yaml", *here),
        student=load("self_training/eseg_s_vistas.yaml", *here),
        unlabelled=root / "leftImg8bit" / "train_extra",
        labels=PseudoLabelConfig(threshold=0.0),
    )
    student = load_checkpoint(self_train(plan, tmp_path / "out", device="cpu"))
    assert student.step == 2
    assert student.run["data"]["pseudo"]["fraction"] == 0.5
    assert student.run["init"]["checkpoint"] == str(pretrained.checkpoint)
