"""Runs and data sets from their YAML: paths, presets, class counts, overrides and messages."""

import dataclasses
from pathlib import Path

import pytest
import yaml
from PIL import Image

from eseg.config import (
    DataConfig,
    RunConfig,
    TrainConfig,
    class_table,
    load_config,
    load_dataset,
    open_split,
    parse_config,
    parse_model_config,
    save_config,
    to_plain,
)
from eseg.data.dataset import SegmentationDataset
from eseg.data.folder import list_split
from eseg.data.transforms import AugmentConfig
from eseg.errors import ConfigError, DataError, OutputError
from eseg.models import PRESETS
from eseg.runtime.class_table import IGNORE_INDEX
from eseg.streets import CLASSES, Streets

REPOSITORY = Path(__file__).parents[2]
SHIPPED = [*REPOSITORY.glob("configs/**/*.yaml"), *REPOSITORY.glob("src/**/*.yaml")]
DATASETS = [path for path in SHIPPED if path.name.startswith("dataset")]
RUNS = [path for path in SHIPPED if path not in DATASETS]
ROAD, CAR = [128, 64, 128], [64, 0, 128]


def run_file(folder, **changes):
    """A small run's YAML; a change to ... takes the section away."""
    base = {
        "model": {"preset": "eseg_lite_s"},
        "data": {"dataset": "streets"},
        "augment": {"crop": [64, 128]},
        "train": {"steps": 10},
    }
    content = {key: value for key, value in (base | changes).items() if value is not ...}
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def dataset_file(folder, **changes):
    """A small data set's YAML; a change to ... takes the key away."""
    base = {
        "name": "yard",
        "root": "data",
        "splits": {"train": {"images": "images/*.png", "masks": "labels/{stem}.png"}},
        "classes": [{"name": "road", "colour": ROAD}, {"name": "car", "colour": CAR}],
    }
    content = {key: value for key, value in (base | changes).items() if value is not ...}
    path = folder / "yard.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_something_is_shipped():
    assert RUNS
    assert DATASETS


@pytest.mark.parametrize("path", RUNS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_shipped_runs_load(path, tmp_path, official_root):
    given = yaml.safe_load(path.read_text())["data"]["dataset"]
    # Its own files say the classes of Vistas, so it alone has to be there.
    overrides = [f"data.root={official_root(given)}"] if given.startswith("vistas") else []
    config = load_config(path, overrides)
    assert config.model.num_classes == len(class_table(config.data))
    assert parse_config(to_plain(config)) == config
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize("path", DATASETS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_shipped_data_sets_load(path):
    config = load_dataset(path)
    assert config.splits.keys() >= {"train", "val"}
    assert len(config.class_table()) == len(config.classes)


def test_camvid_is_described():
    path = REPOSITORY / "configs/camvid/dataset.yaml"
    config = load_dataset(path)
    assert config.root == (path.parent / "../../../shared/camvid").resolve()
    names = [entry.name for entry in config.classes]
    assert len(names) == 11
    assert (names[0], names[10]) == ("sky", "bicyclist")
    assert config.labels_by_value() == {**{i: i for i in range(11)}, 11: IGNORE_INDEX}


def test_defaults_presets_and_the_class_count(tmp_path):
    config = load_config(run_file(tmp_path))
    model = dataclasses.replace(PRESETS["eseg_lite_s"], num_classes=len(CLASSES))
    assert config == RunConfig(model, DataConfig(), AugmentConfig((64, 128)), TrainConfig(steps=10))
    own = load_config(run_file(tmp_path, model={"preset": "eseg_lite_l", "repeats": 5})).model
    assert own == dataclasses.replace(PRESETS["eseg_lite_l"], num_classes=11, repeats=5)
    plain = load_config(run_file(tmp_path, model={"decoder": "fpn", "channels": 32})).model
    assert (plain.decoder, plain.channels, plain.num_classes) == ("fpn", 32, 11)


def test_the_class_count_is_that_of_the_data_set(tmp_path):
    dataset_file(tmp_path)
    path = run_file(tmp_path, data={"dataset": "yard.yaml"})
    assert load_config(path).model.num_classes == 2
    assert load_config(path, ["model.num_classes=2"]).model.num_classes == 2
    with pytest.raises(ConfigError, match=r"model.num_classes: 3, but .*yard.yaml has 2 classes"):
        load_config(path, ["model.num_classes=3"])


def test_what_does_not_fit_the_data_set_is_refused(tmp_path):
    path = run_file(tmp_path)
    with pytest.raises(ConfigError, match=r"class_weights: 3 values for 11 classes.*equal weights"):
        load_config(path, ["loss.class_weights=[1, 2, 3]"])
    with pytest.raises(ConfigError, match=r"in_channels: data sets give 3 channels"):
        load_config(path, ["model.in_channels=1"])


def test_files_from_windows_may_begin_with_a_mark(tmp_path):
    path = run_file(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_config(path).train.steps == 10


def test_overrides(tmp_path):
    overrides = [
        "model.preset=eseg_s", "optim.lr=1e-4", "optim.clip_norm=null", "augment.crop=[32, 48]",
        "seed=3", "train.compile=true", "train.precision=bf16", "data.streets={train_length: 5}",
        "data.train_split=a=b", "optim.warmup_steps=2",
    ]  # fmt: skip
    config = load_config(run_file(tmp_path, optim=None), overrides)
    assert config.model.backbone == PRESETS["eseg_s"].backbone
    assert (config.optim.lr, config.optim.clip_norm, config.seed) == (1e-4, None, 3)
    assert (config.augment.crop, config.train.compile) == ((32, 48), True)
    assert (config.train.precision, config.data.streets.train_length) == ("bf16", 5)
    assert (config.data.train_split, config.optim.warmup_steps) == ("a=b", 2)
    assert config.train.steps == 10


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr", r"^override 'optim.lr' is not of the form section.key=value"),
        ("=3", r"^override '=3' is not of the form"),
        ("optim..lr=3", r"^override 'optim..lr=3' is not of the form"),
        ("augment.crop=[1", r"^override 'augment.crop=\[1': not valid YAML: line 1"),
        ("train.steps=010", r"^override 'train.steps=010': .*'010' is 8 in YAML"),
        ("model.preset.x=1", r"^override 'model.preset.x=1': preset has no keys"),
        ("optim.learning=3", r"run.yaml: optim.learning: unknown key; allowed: name, lr, momentum"),
        (
            "optin.lr=3",
            r"run.yaml: optin: unknown key; did you mean 'optim'\? allowed: model, data",
        ),
        ("train.steps=2.5", r"run.yaml: train.steps: expected a whole number, got 2.5"),
    ],
)
def test_wrong_overrides(tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        load_config(run_file(tmp_path), [override])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {}}, "train.steps: missing$"),
        ({"model": ...}, "model: missing$"),
        ({"model": None}, "model: expected keys with values, got nothing$"),
        ({"model": "eseg_s"}, "model: expected keys with values, got 'eseg_s'$"),
        (
            {"model": {"preset": "eseg_xl"}},
            "model.preset: expected one of eseg_lite_s, .*'eseg_xl'$",
        ),
        ({"model": {"presets": "eseg_s"}}, r"model.presets: unknown key; did you mean 'preset'\?"),
        (
            {"model": {"preset": "eseg_s", "repeats": 0}},
            "model: repeats must be a whole number from 1, not 0$",
        ),
        (
            {"model": {"decoder": "unet"}},
            "model: decoder must be one of bifpn, fpn, deeplabv3plus, not 'unet'",
        ),
        ({"trane": {}}, "trane: unknown key; did you mean 'train'"),
        ({"seed": -1}, r"the file: seed must be in \[0, 2\*\*32\), not -1$"),
        ({"optim": {"lr": 0}}, "optim: lr must be above 0, not 0.0$"),
        ({"loader": {"workers": -1}}, "loader: workers: 0 or more, or null for automatic, not -1$"),
        ({"data": {"streets": {"size": [0, 3]}}}, "data.streets: .*at least 1 pixel$"),
        ({"augment": {"crop": 64}}, "augment.crop: expected a list of 2 whole numbers, got 64$"),
    ],
)
def test_wrong_runs_are_named_with_their_place(tmp_path, changes, message):
    path = run_file(tmp_path, **changes)
    with pytest.raises(ConfigError, match=rf"^{path}: {message}"):
        load_config(path)


def test_everything_wrong_in_a_run_is_in_one_line(tmp_path):
    path = run_file(
        tmp_path, model={"preset": "x", "widht": 2}, train={"setps": 3}, optim={"lr": "fast"}
    )
    with pytest.raises(ConfigError) as error:
        load_config(path, ["seed=true"])
    message = str(error.value)
    places = ("model.preset", "model.widht", "train.setps", "train.steps", "optim.lr", "seed")
    assert all(message.count(f"{place}: ") == 1 for place in places)
    assert message.count(str(path)) == 1
    assert "\n" not in message


def test_wrong_data_sets_of_a_run_are_named_once(tmp_path):
    path = run_file(tmp_path, data={"dataset": "gone.yaml"})
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(error.value) == f"{path}: data.dataset: {tmp_path}/gone.yaml: no such file"
    yard = dataset_file(tmp_path, name=...)
    with pytest.raises(ConfigError) as error:
        load_config(run_file(tmp_path, data={"dataset": "yard.yaml"}))
    assert str(error.value) == f"{path}: data.dataset: {yard}: name: missing"


def test_paths_are_relative_to_their_file_and_in_overrides_to_the_working_folder(
    tmp_path, monkeypatch
):
    (tmp_path / "runs").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    yard = dataset_file(tmp_path)
    path = run_file(
        tmp_path / "runs",
        data={"dataset": "../yard.yaml", "root": "pictures"},
        init={"pretrained_backbone": "$WEIGHTS/b1.pt"},
    )
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("WEIGHTS", "weights")
    monkeypatch.setenv("HOME", str(tmp_path))
    config = load_config(path)
    assert config.data.dataset == yard
    assert config.data.root == tmp_path / "runs/pictures"
    assert config.init.pretrained_backbone == tmp_path / "runs/weights/b1.pt"

    overrides = ["data.root=here", "init.pretrained_backbone=true", "data.dataset=~/yard.yaml"]
    config = load_config(Path("../runs/run.yaml"), overrides)
    assert config.data == DataConfig(yard, elsewhere / "here")
    assert config.init.pretrained_backbone is True
    save_config(config, tmp_path / "config.yaml")
    monkeypatch.chdir(tmp_path)
    assert load_config("config.yaml") == config


def test_the_checkpoint_to_start_from_is_a_path_like_the_others(tmp_path, monkeypatch):
    dataset_file(tmp_path)
    path = run_file(tmp_path, data={"dataset": "yard.yaml"}, init={"checkpoint": "runs/best.pt"})
    assert load_config(path).init.checkpoint == tmp_path / "runs/best.pt"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    overridden = load_config(path, ["init.checkpoint=other.pt"])
    assert overridden.init.checkpoint == tmp_path / "elsewhere/other.pt"


def test_weights_come_from_one_place(tmp_path):
    dataset_file(tmp_path)
    both = {"checkpoint": "best.pt", "pretrained_backbone": True}
    path = run_file(tmp_path, data={"dataset": "yard.yaml"}, init=both)
    with pytest.raises(ConfigError, match="init: pretrained_backbone and checkpoint both"):
        load_config(path)


def test_streets_is_a_name_and_not_a_path(tmp_path):
    path = run_file(tmp_path)
    assert load_config(path, ["data.dataset=streets"]).data.dataset == Path("streets")
    (tmp_path / "streets").write_text(dataset_file(tmp_path).read_text())
    data = load_config(run_file(tmp_path, data={"dataset": "./streets"})).data
    assert data.dataset == tmp_path / "streets"
    assert class_table(data).names == ("road", "car")


def test_open_split(tmp_path):
    streets = open_split(DataConfig(), "val")
    assert isinstance(streets, Streets)
    assert isinstance(streets, SegmentationDataset)
    assert streets.classes == class_table(DataConfig())


@pytest.mark.parametrize("name", ["cityscapes", "ade20k", "vistas", "vistas_v2", "camvid"])
def test_official_sets_have_a_name_and_a_root(tmp_path, official_root, name):
    path = run_file(tmp_path, data={"dataset": name, "root": "unpacked"})
    (tmp_path / "unpacked").symlink_to(official_root(name))
    data = load_config(path).data
    assert data == DataConfig(Path(name), (tmp_path / "unpacked").resolve())
    train = open_split(data, "train")
    assert isinstance(train, SegmentationDataset)
    assert train.classes == class_table(data)
    overrides = [f"data.dataset={name}", f"data.root={official_root(name)}"]
    config = load_config(run_file(tmp_path), overrides)
    assert config.data == data
    assert config.model.num_classes == len(train.classes)


def test_classes_are_known_before_the_data_is_there(tmp_path):
    for name, count in (("cityscapes", 19), ("ade20k", 150), ("camvid", 11)):
        assert load_config(run_file(tmp_path, data={"dataset": name})).model.num_classes == count
    with pytest.raises(ConfigError, match=r"data.dataset: vistas: say where the data set lies"):
        load_config(run_file(tmp_path, data={"dataset": "vistas"}))


def test_splits_without_masks_are_for_those_who_ask(tmp_path):
    path = dataset_file(tmp_path, splits={"train": {"images": "images/*.png"}})
    (tmp_path / "data/images").mkdir(parents=True)
    Image.new("RGB", (3, 2)).save(tmp_path / "data/images/a.png")
    with pytest.raises(DataError, match="'train' of data set 'yard' has images but no masks"):
        open_split(DataConfig(path), "train")
    assert len(open_split(DataConfig(path), "train", unlabelled=True)) == 1


def test_model_configs_of_checkpoints():
    for preset in PRESETS.values():
        assert parse_model_config(to_plain(preset)) == preset
    with pytest.raises(ConfigError, match=r"^wdith: unknown key; did you mean 'width'\?"):
        parse_model_config({"wdith": 2})


def test_root_is_relative_to_the_yaml_and_can_be_replaced(tmp_path, monkeypatch):
    path = dataset_file(tmp_path)
    (tmp_path / "data").mkdir()
    assert load_dataset(path).root == tmp_path / "data"
    monkeypatch.chdir(tmp_path / "data")
    assert load_dataset(path).root == tmp_path / "data"
    assert load_dataset("../yard.yaml").root == tmp_path / "data"
    assert load_dataset(path, root=Path("images")).root == tmp_path / "data/images"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("YARD", str(tmp_path))
    assert load_dataset(path, root=Path("~/data")).root == tmp_path / "data"
    assert load_dataset(dataset_file(tmp_path, root="$YARD/data")).root == tmp_path / "data"
    with pytest.raises(ConfigError, match=r"root: no such environment variable in '\$NOWHERE/x'"):
        load_dataset(dataset_file(tmp_path, root="$NOWHERE/x"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rooot": "x"}, r"rooot: unknown key; did you mean 'root'\? allowed: name, root, splits"),
        ({"classes": ...}, "classes: missing"),
        ({"classes": []}, "the file: a class table has 1 to 255 classes, not 0"),
        ({"classes": [{"name": "road"}]}, r"classes\[0\].colour: missing"),
        (
            {"classes": [{"name": False, "colour": ROAD}]},
            r"classes\[0\].name: expected text, got false, .* put quotes around it",
        ),
        (
            {"classes": [{"name": "road", "colour": [1, 2]}]},
            r"classes\[0\].colour: expected a list of 3 whole numbers, got \[1, 2\]",
        ),
        ({"ignore_index": 1}, "the file: 1 stands for class 'car' and for `ignore_index`"),
        ({"mask_values": "rgb"}, "mask_values: expected one of ids, colours, got 'rgb'"),
        ({"splits": {"train": {"masks": "{stem}"}}}, "splits.train: needs `images`, with `masks`"),
    ],
)
def test_wrong_data_sets_are_named_with_their_place(tmp_path, changes, message):
    path = dataset_file(tmp_path, **changes)
    with pytest.raises(ConfigError, match=rf"^{path}: {message}"):
        load_dataset(path)


def test_list_files_lie_below_the_root_or_beside_the_yaml(tmp_path):
    (tmp_path / "data").mkdir()
    described = {
        "name": "listed",
        "root": "data",
        "splits": {"train": {"list_file": "train.txt"}},
        "classes": [{"name": "all", "colour": [1, 2, 3]}],
    }
    path = tmp_path / "listed.yaml"
    path.write_text(yaml.safe_dump(described))
    assert load_dataset(path).splits["train"].list_file == "train.txt"
    (tmp_path / "train.txt").write_text("a.png b.png\n")
    assert load_dataset(path).splits["train"].list_file == str(tmp_path / "train.txt")
    assert list_split(load_dataset(path), "train") == [
        (tmp_path / "data/a.png", tmp_path / "data/b.png")
    ]
    (tmp_path / "data/train.txt").write_text("c.png d.png\n")
    assert load_dataset(path).splits["train"].list_file == str(tmp_path / "train.txt")


def test_a_config_that_cannot_be_written_is_one_clear_error(tmp_path):
    config = load_config(run_file(tmp_path))
    with pytest.raises(OutputError, match=r"gone/c.yaml: cannot be written \(No such file"):
        save_config(config, tmp_path / "gone" / "c.yaml")
