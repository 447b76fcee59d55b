"""Copies are found whatever the file's format; pictures that are only alike are not."""

import io

import numpy as np
import pytest
from PIL import Image

from eseg.data.listing import SplitConfig
from eseg.doctor import duplicates
from eseg.doctor.mending import mend
from eseg.streets import Streets, StreetsConfig


def scene(index, size=(96, 160)):
    return Streets("train", StreetsConfig(size)).__getitem__(index).image


def saved(pixels, quality, factor):
    """A picture after resizing and JPEG."""
    picture = Image.fromarray(pixels)
    size = (round(picture.width * factor), round(picture.height * factor))
    file = io.BytesIO()
    picture.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def test_the_same_pixels_in_another_file(yard, draw):
    yard.put("val/images/7.png", draw.image(2), compress_level=0, dpi=(72, 72))
    found = yard.examine()
    assert found.named == [("duplicate across splits", ["train/images/2.png", "val/images/7.png"])]
    assert found.diagnosis.has_errors


def test_one_grey_level_is_no_exact_copy(yard, draw):
    pixels = draw.image(2)
    pixels[3, 3, 0] ^= 1
    yard.put("val/images/7.png", pixels)
    assert [kind for kind, _ in yard.examine().named] == ["near-duplicate across splits"]


@pytest.mark.parametrize(("quality", "factor"), [(90, 1.0), (30, 1.0), (80, 0.7), (80, 1.5)])
def test_compressed_and_resized_copies(yard, draw, quality, factor):
    yard.put("train/images/2.png", scene(0))
    pixels = saved(scene(0), quality, factor)
    yard.put("val/images/7.png", pixels)
    for name, size in (("train/masks/2", (96, 160)), ("val/masks/7", pixels.shape[:2])):
        yard.put(f"{name}.png", np.resize(draw.mask(2), size))
    kinds = [kind for kind, _ in yard.examine().named]
    assert "near-duplicate across splits" in kinds
    assert "duplicate across splits" not in kinds


def test_scenes_of_one_kind_are_no_copies(yard, draw):
    for index in range(10):
        split = "train" if index < 6 else "val"
        yard.put(f"{split}/images/{index}.png", scene(index, (24, 32)))
    assert yard.examine().named == []


def test_nearly_blank_pictures_are_no_copies(yard, draw):
    for name, level in (("train/images/2.png", 200), ("val/images/7.png", 201)):
        pixels = np.full_like(draw.image(2), level)
        pixels[:2] += 3
        yard.put(name, pixels)
    assert yard.examine().named == []


def test_copies_in_one_split(yard, draw):
    yard.put("train/images/2.png", draw.image(4))
    yard.put("train/masks/2.png", draw.mask(4))
    assert yard.examine().named == [
        ("duplicate in a split", ["train/images/2.png", "train/images/4.png"])
    ]
    yard.put("train/masks/2.png", draw.mask(5))
    assert yard.examine().named == [
        ("two masks for one picture", ["train/images/2.png", "train/images/4.png"])
    ]


def test_a_split_made_of_others_is_meant_so(yard):
    splits = yard.describe().splits
    lines = tuple(
        f"{split}/images/{index}.png {split}/masks/{index}.png"
        for split, indices in (("train", range(6)), ("val", range(6, 10)))
        for index in indices
    )
    assert yard.examine(splits={**splits, "trainval": SplitConfig(lines=lines)}).named == []
    overlapping = {**splits, "val": SplitConfig(lines=lines[5:])}
    assert yard.examine(splits=overlapping).named == [
        ("duplicate across splits", ["train/images/5.png"])
    ]


def test_val_within_train_is_no_trainval(yard):
    lines = [f"train/images/{index}.png train/masks/{index}.png" for index in range(6)]
    splits = {
        "val": SplitConfig(lines=tuple(lines[:2])),
        "train": SplitConfig(lines=tuple(lines)),
    }
    found = yard.examine(splits=splits)
    assert found.named == [
        ("duplicate across splits", ["train/images/0.png", "train/images/1.png"])
    ]
    kept = mend(found.diagnosis).kept
    assert {split: len(pairs) for split, pairs in kept.items()} == {"val": 2, "train": 4}


def test_the_same_picture_twice_in_train_is_not_nearly_the_same(yard, draw):
    for name in ("train/images/2.png", "train/images/4.png"):
        yard.put(name, draw.image(7))
    kinds = [kind for kind, _ in yard.examine().named]
    assert "duplicate across splits" in kinds
    assert "near-duplicate across splits" not in kinds


def test_many_equal_pictures_are_compared_once(yard, draw, monkeypatch):
    for split, indices in (("train", range(6)), ("val", range(6, 10))):
        for index in indices:
            yard.put(f"{split}/images/{index}.png", draw.image(0))
    compared, thumbnails = [], duplicates._thumbnails

    def watched(facts):
        compared.append(len(facts))
        return thumbnails(facts)

    monkeypatch.setattr(duplicates, "_thumbnails", watched)
    yard.examine()
    assert compared == [1, 1]
