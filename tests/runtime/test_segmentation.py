"""Labels keep their ids, colours and shares in pictures, files, notebooks and text."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from eseg.runtime import Segmentation

NAMES = ("road", "car", "sky")
PALETTE = ((128, 64, 128), (0, 0, 142), (70, 130, 180))


@pytest.fixture
def result():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (30, 40, 3), np.uint8)
    labels = rng.choice(2, (30, 40), p=[0.2, 0.8]).astype(np.uint8)
    return Segmentation(image, labels, None, NAMES, PALETTE)


def test_share_counts_the_classes_that_occur_the_largest_first(result):
    share = result.share()
    assert list(share) == ["car", "road"]
    assert share["road"] == pytest.approx((result.labels == 0).mean())
    assert sum(share.values()) == pytest.approx(1)


def test_labels_survive_the_file(result, tmp_path):
    result.save(tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.array(picture), result.labels)
        np.testing.assert_array_equal(np.array(picture.convert("RGB")), result.colours())


@pytest.mark.parametrize("name", ["x.webp", "x.jpg", "x.tiff", "x", "png"])
def test_labels_are_written_as_png_alone(result, tmp_path, name):
    with pytest.raises(ValueError, match=rf"{name}: .* as PNG only"):
        result.save(tmp_path / name)
    assert not list(tmp_path.iterdir())
    result.save(str(tmp_path / "X.PNG"))
    with Image.open(tmp_path / "X.PNG") as picture:
        np.testing.assert_array_equal(np.array(picture), result.labels)


def test_overlay_goes_from_the_image_to_the_colours(result):
    np.testing.assert_array_equal(np.array(result.overlay(0.0)), result.image)
    np.testing.assert_array_equal(np.array(result.overlay(1.0)), result.colours())
    between = np.array(result.overlay(0.25)).astype(float)
    expected = 0.75 * result.image + 0.25 * result.colours()
    assert np.abs(between - expected).max() <= 0.51


def test_the_legend_names_the_classes_that_occur(result):
    picture = np.array(result.overlay(legend=True))
    np.testing.assert_array_equal(picture[:30, :40], np.array(result.overlay()))
    legend = picture[30:]
    shown = [(legend == colour).all(axis=-1).any() for colour in PALETTE]
    assert shown == [True, True, False]


def test_repr_is_one_short_line(result):
    labels = np.zeros((100, 200), np.uint8)
    labels[:41], labels[0, :3] = 1, 2
    some = dataclasses.replace(result, image=np.zeros((100, 200, 3), np.uint8), labels=labels)
    assert repr(some) == "Segmentation(100x200: road 59 %, car 41 %, sky < 1 %)"
    names = tuple(f"class {i}" for i in range(9))
    stripes = labels % 2 + np.arange(200, dtype=np.uint8) % 8
    many = dataclasses.replace(some, labels=stripes, names=names)
    assert repr(many).count("class") == 5
    assert repr(many).endswith(", ...)")


def test_notebooks_show_the_overlay_with_its_legend(result):
    with Image.open(io.BytesIO(result._repr_png_())) as picture:
        assert picture.format == "PNG"
        np.testing.assert_array_equal(np.array(picture), np.array(result.overlay(legend=True)))
