"""Sheets and curves hold what they claim: the right colours, sizes and marks."""

import numpy as np
import pytest
from PIL import Image

from eseg.reports.picture_sheet import curve_png, picture_sheet
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


HISTORY = [{"step": step, "loss": 2.0 / step, "lr": 0.1} for step in range(1, 200)]
HISTORY += [{"step": step, "miou": 0.3 + step / 1000} for step in range(50, 200, 50)]


@pytest.mark.parametrize(
    "history",
    [
        HISTORY,
        [record for record in HISTORY if "loss" in record],
        [record for record in HISTORY if "miou" in record],
        [{"step": 1, "loss": 2.0, "miou": None}],
        [{"step": 7, "loss": 0.0, "miou": 0.0}],
        [],
    ],
)
def test_curve_is_drawn_from_whatever_there_is(tmp_path, history):
    curve_png(history, tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    blue = (pixels[..., 2] - pixels[..., 0] > 60).sum()
    orange = (pixels[..., 0] - pixels[..., 2] > 60).sum()
    mious = [record["miou"] for record in history if record.get("miou") is not None]
    assert blue > 0
    assert (orange > 0) == bool(mious)


def test_curve_marks_the_best(tmp_path):
    def orange(mious):
        curve_png([{"step": i, "miou": miou} for i, miou in enumerate(mious)], tmp_path / "c.png")
        with Image.open(tmp_path / "c.png") as picture:
            pixels = np.asarray(picture.convert("RGB")).astype(int)
        columns = (pixels[..., 0] - pixels[..., 2] > 60)[:, 150:1050].sum(axis=0)
        return columns.argmax() / len(columns)

    # The star is the tallest orange thing, and stands where the best step is.
    assert orange([0.1, 0.5, 0.5, 0.51, 0.5]) > 0.5 > orange([0.1, 0.51, 0.5, 0.5, 0.5])
