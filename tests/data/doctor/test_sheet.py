"""The sheet shows every class where it is, and says where one is missing."""

import numpy as np
import pytest
from PIL import Image

from eseg.data.dataset import DataError
from eseg.data.doctor.sheet import SAMPLES, sample_sheet, save_sheet
from eseg.data.folder import ClassConfig


def near(sheet, colour):
    """Pixels of one colour, per row of the sheet."""
    return (np.asarray(sheet) == colour).all(axis=2).sum(axis=1)


def test_every_class_has_a_row_with_its_colour(yard, draw):
    sheet = sample_sheet(yard.examine().diagnosis)
    tops = []
    for colour in draw.colours:
        rows = np.flatnonzero(near(sheet, colour))
        assert rows.size > 100, "outlines go through whole pictures"
        tops.append(rows[0])
    assert tops == sorted(tops)
    assert np.diff(tops).min() > 150


def test_a_row_more_for_a_class_that_is_nowhere(yard):
    usual = sample_sheet(yard.examine().diagnosis)
    classes = (*yard.describe().classes, ClassConfig("boat", (1, 2, 3)))
    longer = sample_sheet(yard.examine(classes=classes).diagnosis)
    assert longer.width == usual.width
    assert longer.height > usual.height + 100
    below = np.asarray(longer)[usual.height :, 240:]
    assert (below != 255).any(), "it says so"
    assert (below == 255).mean() > 0.95, "and shows no picture"


def test_faulty_pairs_are_not_drawn(yard, draw):
    (yard.root / "train/images/1.png").write_bytes(b"")
    yard.put("train/masks/2.png", draw.mask(2)[::2])
    yard.put("train/masks/3.png", draw.mask(3) + 9)
    assert sample_sheet(yard.examine().diagnosis).width > SAMPLES * 200


def test_small_things_are_shown_large(yard, draw):
    for index in range(6):
        mask = np.zeros((240, 320), np.uint8)
        mask[200:210, 300:310] = 1
        yard.put(f"train/images/{index}.png", draw.image(index, (240, 320)))
        yard.put(f"train/masks/{index}.png", mask)
    for index in range(6, 10):
        (yard.root / f"val/images/{index}.png").unlink()
    sheet = sample_sheet(yard.examine().diagnosis)
    rows = np.flatnonzero(near(sheet, draw.colours[1]) > 2 * SAMPLES)
    assert rows.size >= 10, "the ten rows of the mask are at least as large on the sheet"


def test_saving(yard, tmp_path):
    diagnosis = yard.examine().diagnosis
    save_sheet(diagnosis, tmp_path / "new/sheet.png")
    with Image.open(tmp_path / "new/sheet.png") as picture:
        assert picture.size == sample_sheet(diagnosis).size
    with pytest.raises(DataError, match=r"sheet.xyz: the sheet cannot be written .*\.png"):
        save_sheet(diagnosis, tmp_path / "sheet.xyz")
