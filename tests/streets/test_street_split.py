"""A split's samples depend on seed, split and index alone, and its config on valid values."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from eseg.errors import DataError
from eseg.streets import CLASSES, Streets, StreetsConfig

SMALL = (64, 128)


def digest(image, mask):
    return hashlib.sha256(image.tobytes() + mask.tobytes()).hexdigest()


def test_sample_has_the_shapes_and_types_of_the_contract():
    image, mask, name = Streets("val", StreetsConfig(size=(40, 90)))[3]
    assert image.shape == (40, 90, 3)
    assert image.dtype == np.uint8
    assert mask.shape == (40, 90)
    assert mask.dtype == np.uint8
    assert name == "streets_val_00003"


def test_same_scene_on_every_call_in_any_order():
    dataset = Streets("train", StreetsConfig(size=SMALL))
    first = [digest(*dataset[index][:2]) for index in (0, 1, 2)]
    again = [digest(*dataset[index][:2]) for index in (2, 1, 0)]
    assert first == again[::-1]


def test_same_scene_in_another_process():
    code = (
        "import hashlib\n"
        "from eseg.streets import Streets, StreetsConfig\n"
        f"image, mask, _ = Streets('val', StreetsConfig(size={SMALL}))[7]\n"
        "print(hashlib.sha256(image.tobytes() + mask.tobytes()).hexdigest())\n"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert elsewhere == digest(*Streets("val", StreetsConfig(size=SMALL))[7][:2])


def test_scenes_do_not_share_memory():
    dataset = Streets("train", StreetsConfig(size=SMALL))
    image, mask, _ = dataset[0]
    before = digest(image, mask)
    image[:], mask[:] = 0, 0
    assert digest(*dataset[0][:2]) == before


def test_splits_seeds_and_indices_share_no_scene():
    digests = [
        digest(*Streets(split, StreetsConfig(size=(32, 64), seed=seed))[index][:2])
        for split in ("train", "val")
        for seed in (0, 1)
        for index in range(8)
    ]
    assert len(set(digests)) == len(digests)


def test_length_and_index_errors():
    dataset = Streets("val", StreetsConfig(size=(16, 32), val_length=3))
    assert len(dataset) == 3
    assert len(list(dataset)) == 3
    for index in (3, -1):
        with pytest.raises(IndexError, match="3 scenes"):
            dataset[index]


def test_unknown_split_names_the_splits():
    with pytest.raises(DataError, match=r"'test'.*train, val"):
        Streets("test")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"size": (0, 64)}, "size"),
        ({"train_length": 0}, "train_length"),
        ({"val_length": -1}, "val_length"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
    ],
)
def test_impossible_config_is_refused(change, named):
    with pytest.raises(DataError, match=named):
        StreetsConfig(**change)


def test_class_table_is_drawable():
    assert len(CLASSES) == 11
    assert len(set(CLASSES.colours)) == len(CLASSES)
    assert Streets("train").classes is CLASSES
