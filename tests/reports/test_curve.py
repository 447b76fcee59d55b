"""The curve is drawn from any records, and its star marks the best step."""

import numpy as np
import pytest
from PIL import Image

from eseg.reports.curve import curve_png

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
