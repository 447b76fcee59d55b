"""The sheet shows every class where it is, and says where one is missing."""

import numpy as np
import pytest
from PIL import Image

from eseg.data.folder import ClassConfig
from eseg.data.reading import read_image
from eseg.doctor.class_sheet import ROWS, SAMPLES, sample_sheet, save_sheet
from eseg.errors import OutputError
from eseg.runtime.pictures import INK, PAPER


def near(sheet, colour):
    """Pixels of one colour, per row of the sheet."""
    return (np.asarray(sheet) == colour).all(axis=2).sum(axis=1)


def test_every_class_has_a_row_and_an_outline_that_no_grey_hides(yard):
    sheet = np.asarray(sample_sheet(yard.examine().diagnosis))
    heading = sheet.shape[0] - 3 * 188
    for top in (heading, heading + 188, heading + 2 * 188):
        tile = sheet[top + 30 : top + 150, 8 + 220 : 8 + 220 + 240].astype(int)
        white, black = (tile == PAPER).all(2), (tile == INK).all(2)
        beside = (white[:, 1:] & black[:, :-1]) | (black[:, 1:] & white[:, :-1])
        assert beside.any(axis=1).all(), "every line of the picture crosses an edge of the class"


def test_many_classes_go_on_several_sheets(yard, tmp_path):
    more = tuple(ClassConfig(f"extra{n}", (n, 1, 2)) for n in range(ROWS))
    diagnosis = yard.examine(classes=(*yard.describe().classes, *more)).diagnosis
    paths = save_sheet(diagnosis, tmp_path / "sheet.png")
    assert [path.name for path in paths] == ["sheet.png", "sheet_2.png"]
    heights = [read_image(path).shape[0] for path in paths]
    assert heights[0] - heights[1] == (ROWS - 3) * 188
    assert 3 * 188 < heights[1] < 3 * 188 + 80


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
    with pytest.raises(OutputError, match=r"sheet.xyz: cannot be written .*`sheet` in \.png"):
        save_sheet(diagnosis, tmp_path / "sheet.xyz")
