"""Facts come in order, from any number of threads, and agree with the readers of training."""

import numpy as np
import pytest
from PIL import Image

from eseg.data.reading import read_image, read_mask_ids
from eseg.doctor.facts import THUMBNAIL, examine_pair, gather


def pairs_of(yard):
    return [
        (path, yard.root / "train/masks" / path.name)
        for path in sorted((yard.root / "train/images").iterdir())
    ]


@pytest.mark.parametrize("workers", [1, 3])
def test_facts_come_in_order(yard, workers):
    pairs = pairs_of(yard) * 8
    facts = list(gather(pairs, "ids", workers))
    assert [(fact.image_path, fact.mask_path) for fact in facts] == pairs
    assert len({fact.image.digest for fact in facts}) == 6


def test_values_and_sizes_are_those_of_the_readers(yard):
    image_path, mask_path = pairs_of(yard)[2]
    facts = examine_pair(image_path, mask_path, "ids")
    values, counts = np.unique(read_mask_ids(mask_path), return_counts=True)
    assert facts.mask.values == dict(zip(values.tolist(), counts.tolist(), strict=True))
    assert facts.image.size == read_image(image_path).shape[:2] == facts.mask.size
    assert facts.image.thumbnail.shape == (THUMBNAIL, THUMBNAIL)
    assert facts.errors == ()
    assert facts.seconds > 0


def test_what_a_mask_holds_is_found_out(yard, draw):
    colours = np.stack([draw.mask(1), draw.mask(2), draw.mask(3)], -1)
    path = yard.put("colours.png", colours)
    image = yard.root / "train/images/1.png"
    either = examine_pair(image, path, "either")
    assert (either.mask.stored, either.errors) == ("colours", ())
    unique, counts = np.unique(colours.reshape(-1, 3), axis=0, return_counts=True)
    assert either.mask.values == dict(
        zip(map(tuple, unique.tolist()), counts.tolist(), strict=True)
    )
    ((error, about),) = examine_pair(image, path, "ids").errors
    assert (error.fault, about) == ("colours for ids", path)


@pytest.mark.parametrize(("suffix", "mode"), [("png", "RGB"), ("jpg", "RGB"), ("tif", "RGB")])
def test_orientation_is_told(yard, draw, suffix, mode):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = yard.put(f"turned.{suffix}", draw.image(1), exif=exif)
    facts = examine_pair(path, None, "ids")
    assert facts.image.orientation == 6
    assert facts.image.size == (32, 24)
    assert facts.mask is None


def test_16_and_32_bit_ids(yard, draw):
    for number, kind in enumerate((np.uint16, np.int32)):
        path = yard.put(f"{number}.tif", draw.mask(1).astype(kind) * 300)
        facts = examine_pair(yard.root / "train/images/1.png", path, "ids")
        assert sorted(facts.mask.values) == [0, 300, 600, 76_500] if number else [0, 300, 600]
