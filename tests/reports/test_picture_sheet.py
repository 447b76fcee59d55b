"""Sheets show every picture at its place, and no text is cut or overlaps another."""

import numpy as np
import pytest
from PIL import Image

from eseg.errors import OutputError
from eseg.reports.picture_sheet import Panel, Row, paint_sheet, picture_sheet, save_picture
from eseg.runtime.class_table import ClassTable

CLASSES = ClassTable(
    ("road", "car", "a class with a rather long name"),
    ((128, 64, 128), (0, 0, 142), (250, 170, 30)),
)


@pytest.mark.parametrize("truths", [(True, True), (True, False), (False, False)])
def test_sheet_shows_each_row(truths, holds):
    rows = []
    for row, has_truth in enumerate(truths):
        image = np.full((24, 40, 3), 10 + row, dtype=np.uint8)
        truth = np.full((24, 40), 0, dtype=np.uint8) if has_truth else None
        rows.append((image, truth, np.full((24, 40), 1, dtype=np.uint8)))
    sheet = np.asarray(picture_sheet(rows, CLASSES, captions=["first", "second"], cell=80))
    columns = 2 + any(truths)
    assert columns * 80 < sheet.shape[1] < columns * 100
    for row in range(2):
        assert (sheet == (10 + row,) * 3).all(axis=-1).sum() == 80 * 48
    # One prediction per row and a swatch; one truth for each row that has one, and a swatch.
    assert (sheet == CLASSES.colours[1]).all(axis=-1).sum() // (80 * 48) == 2
    assert (sheet == CLASSES.colours[0]).all(axis=-1).sum() // (80 * 48) == sum(truths)
    assert not holds(sheet, CLASSES.colours[2])


def test_sheet_fits_pictures_of_any_shape(picture):
    rows = [
        (image, mask, mask) for image, mask in (picture(1, 300), picture(90, 30), picture(1, 1))
    ]
    sheet = picture_sheet(rows, CLASSES, cell=64)
    assert sheet.mode == "RGB"
    assert sheet.height < 6 * 64 + 100


def test_sheet_wants_one_caption_per_row(picture):
    image, mask = picture()
    with pytest.raises(ValueError, match="2 captions for 1 rows"):
        picture_sheet([(image, None, mask)], CLASSES, captions=["one", "two"])


def panel(colour, size=(60, 30), **text):
    return Panel(Image.new("RGB", size, colour), **text)


def box(sheet, colour):
    """Left, top, right and bottom of all pixels of one colour."""
    rows, columns = np.nonzero((np.asarray(sheet) == colour).all(axis=-1))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_panels_stand_in_columns_as_wide_as_the_widest():
    rows = [Row([panel((1, 0, 0)), panel((2, 0, 0))]), Row([panel((3, 0, 0), (90, 20))])]
    sheet = paint_sheet(rows, gap=8)
    assert box(sheet, (1, 0, 0)) == (8, 8, 68, 38)
    assert box(sheet, (2, 0, 0)) == (106, 8, 166, 38)
    assert box(sheet, (3, 0, 0)) == (8, 46, 98, 66)
    assert sheet.size == (174, 70)
    assert paint_sheet(rows, gap=8, column_width=200).width == 3 * 8 + 2 * 200


def test_text_keeps_to_its_column_and_to_the_sheet():
    blank = Image.new("RGB", (60, 30), "white")
    endless = "a name far too long for its column " * 9
    for text in ({"heading": endless}, {"caption": endless}):
        sheet = np.asarray(paint_sheet([Row([Panel(blank, **text), Panel(blank)])]))
        written = np.nonzero((sheet != 255).any(axis=(0, 2)))[0]
        assert 8 <= written.min() < 20 < 50 < written.max() < 8 + 60
    for sheet in (
        paint_sheet([Row([Panel(blank), Panel(blank)], caption=endless)]),
        paint_sheet([Row([Panel(blank), Panel(blank)])], titles=[(endless, 20)]),
    ):
        written = np.nonzero((np.asarray(sheet) != 255).any(axis=(0, 2)))[0]
        assert 100 < written.max() < sheet.width - 8


def test_a_caption_lies_on_its_picture_in_the_lower_left_corner():
    sheet = paint_sheet([Row([panel((9, 9, 200), (60, 40), caption="val: 7")])])
    left, _, _, bottom = box(sheet, (9, 9, 200))
    pixels = np.asarray(sheet)
    assert (pixels[bottom - 16, left : left + 10] == 30).all()
    assert (pixels[bottom - 16 : bottom, left : left + 50].min(axis=-1) > 200).any(), "the letters"


def test_saving_makes_the_folder_and_names_the_argument(tmp_path):
    picture = Image.new("RGB", (3, 2))
    save_picture(picture, tmp_path / "new/sheet.png")
    with Image.open(tmp_path / "new/sheet.png") as stored:
        assert stored.size == (3, 2)
    with pytest.raises(OutputError, match=r"sheet\.xyz: cannot be written .*end `output` in \.png"):
        save_picture(picture, tmp_path / "sheet.xyz")
    with pytest.raises(OutputError, match="choose another `sheet`"):
        save_picture(picture, tmp_path / "new/sheet.png/x.png", argument="sheet")
