"""Pictures hold what they claim: the right colours, ids, sizes and readable names."""

import numpy as np
import pytest
from PIL import Image

from eseg.runtime.pictures import colourise, overlay, palette_image, with_legend

NAMES = ("road", "car", "a class with a rather long name")
PALETTE = ((128, 64, 128), (0, 0, 142), (250, 170, 30))


def test_colours_are_those_of_the_table(picture):
    _, mask = picture()
    colours = colourise(mask, PALETTE)
    for index, colour in enumerate(PALETTE):
        assert (colours[mask == index] == colour).all()
    assert not colours[mask == 255].any()


def test_a_palette_picture_keeps_ids_and_shows_colours(tmp_path, picture):
    _, mask = picture()
    palette_image(mask, PALETTE).save(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as stored:
        assert stored.mode == "P"
        np.testing.assert_array_equal(np.asarray(stored), mask)
        np.testing.assert_array_equal(np.asarray(stored.convert("RGB")), colourise(mask, PALETTE))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_overlay_blends_labelled_pixels_only(alpha, picture):
    image, mask = picture()
    result = overlay(image, mask, PALETTE, alpha)
    labelled = mask != 255
    blend = (1 - alpha) * image + alpha * colourise(mask, PALETTE)
    np.testing.assert_allclose(result[labelled], blend[labelled], atol=0.51)
    np.testing.assert_array_equal(result[~labelled], image[~labelled])
    assert result.dtype == np.uint8


@pytest.mark.parametrize("size", [(1, 1), (24, 40), (50, 2000)])
def test_legend_leaves_the_image_and_names_every_class(size, picture, holds):
    image, _ = picture(*size)
    result = with_legend(image, NAMES, PALETTE)
    height, width = size
    np.testing.assert_array_equal(result[:height, :width], image)
    assert all(holds(result[height:], colour) for colour in PALETTE)


def test_legend_of_what_is_present(picture, holds):
    image, mask = picture()
    mask[mask == 1] = 255
    legend = with_legend(image, NAMES, PALETTE, np.unique(mask))[image.shape[0] :]
    assert [holds(legend, colour) for colour in PALETTE] == [True, False, True]


def test_legend_wraps_where_the_image_is_narrow_and_keeps_its_letters(picture):
    def ink(result):
        return (result[24:] < 60).all(axis=-1).sum()

    narrow = with_legend(picture(24, 60)[0], NAMES, PALETTE)
    wide = with_legend(picture(24, 800)[0], NAMES, PALETTE)
    assert narrow.shape[0] > wide.shape[0]
    assert ink(narrow) == ink(wide) > 100
