"""Counts equal a plain count over the masks; empty and rare classes are named."""

import numpy as np
import pytest

from eseg.data.folder import ClassConfig, Folder


def test_counts_equal_those_over_the_samples(yard):
    config = yard.describe()
    found = yard.examine()
    for split, balance in found.diagnosis.balances.items():
        masks = [sample.mask for sample in Folder(config, split)]
        pixels = [sum((mask == label).sum() for mask in masks) for label in range(3)]
        assert balance.pixels == tuple(pixels)
        assert balance.unlabelled == sum((mask == 255).sum() for mask in masks)
        assert balance.images == (len(masks),) * 3
        assert balance.masks == len(masks)
        assert balance.share(1) == pytest.approx(pixels[1] / sum(pixels))


def test_empty_classes_are_named_per_split(yard):
    classes = (*yard.describe().classes, ClassConfig("boat", (1, 2, 3)))
    found = yard.examine(classes=classes)
    assert found.named == [("empty class", []), ("empty class", [])]
    assert "split 'val': boat occurs in none of the 4 masks" in found.messages["empty class"]


def test_rare_classes_are_named(yard, draw):
    classes = (*yard.describe().classes, ClassConfig("horse", (1, 2, 3)))
    for split, indices in (("train", (1, 2)), ("val", (6, 7, 8))):
        for index in indices:
            mask = draw.mask(index)
            mask[4:9, 3:6] = 3
            yard.put(f"{split}/masks/{index}.png", mask)
    found = yard.examine(classes=classes)
    assert found.named == [("rare class", [])]
    message = found.messages["rare class"]
    assert "split 'train': of 6 images fewer than 3 show horse (in 2, " in message


def test_masks_that_cannot_be_read_as_expected_do_not_count(yard, draw):
    yard.put("train/masks/3.png", np.stack([draw.mask(3)] * 2 + [draw.mask(4)], -1))
    assert yard.examine().diagnosis.balances["train"].masks == 5
