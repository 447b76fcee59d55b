"""The fused crop against plain resize-then-crop, and what is drawn against what was asked for."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from eseg.data.transforms import (
    COLOUR_OPERATIONS,
    AugmentConfig,
    CropWindow,
    ResizeConfig,
    augment,
    draw_window,
    jitter_colours,
    resize_image,
    resize_mask,
    to_float,
)
from eseg.runtime.class_table import IGNORE_INDEX, Sample

PAD_COLOUR = (124, 116, 104)  # ImageNet's mean times 255.


def noise(height, width, seed=0):
    """The hardest picture to resize: no two pixels agree."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Sample(image, rng.integers(0, 19, (height, width), dtype=np.uint8), "noise")


def resize_then_crop(sample, window):
    """The whole image through Pillow, the whole mask through fractions, then the cut."""
    height, width = window.scaled
    resized = Image.fromarray(sample.image).resize((width, height), Image.Resampling.BILINEAR)
    rows, columns = (
        [int((i + Fraction(1, 2)) * Fraction(old, new)) for i in range(new)]
        for old, new in zip(sample.mask.shape, window.scaled, strict=True)
    )
    mask = sample.mask[rows][:, columns]
    cut = np.s_[
        max(window.offset[0], 0) : window.offset[0] + window.crop[0],
        max(window.offset[1], 0) : window.offset[1] + window.crop[1],
    ]
    return np.asarray(resized)[cut], mask[cut]


@settings(max_examples=150, deadline=None)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    crop=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    scale=st.floats(0.2, 3.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_fused_crop_equals_resize_then_crop(size, crop, scale, seed):
    sample = noise(*size, seed=seed)
    config = AugmentConfig(crop, scale=(scale, scale))
    window = draw_window(size, config, np.random.default_rng(seed))
    image, mask = resize_then_crop(sample, window)
    assert np.abs(resize_image(sample.image, window).astype(int) - image).max() <= 1
    np.testing.assert_array_equal(resize_mask(sample.mask, window), mask)


@pytest.mark.parametrize("scale", [0.5, 0.77, 1.0, 1.31, 2.0])
def test_fused_crop_on_a_large_image(scale):
    sample = noise(521, 1037)
    config = AugmentConfig((200, 300), scale=(scale, scale))
    for seed in range(3):
        window = draw_window(sample.mask.shape, config, np.random.default_rng(seed))
        image, mask = resize_then_crop(sample, window)
        assert np.abs(resize_image(sample.image, window).astype(int) - image).max() <= 1
        np.testing.assert_array_equal(resize_mask(sample.mask, window), mask)


def test_ties_between_grey_levels_do_not_add_up():
    """At 20:33 many pixels fall half-way between two levels, where any two ways may differ."""
    window = CropWindow((330, 330), (31, 29), (270, 270))
    sample = noise(200, 200)
    image, _ = resize_then_crop(sample, window)
    assert np.abs(resize_image(sample.image, window).astype(int) - image).max() <= 1


@pytest.mark.parametrize("scaled", [(67, 131), (95, 47), (200, 300)])
def test_labels_are_pillows_nearest(scaled):
    """Up to ties, where a sample falls on the border of two pixels: odd sizes have none."""
    sample = noise(101, 151)
    window = CropWindow(scaled, (0, 0), scaled)
    nearest = Image.fromarray(sample.mask).resize(scaled[::-1], Image.Resampling.NEAREST)
    assert (resize_mask(sample.mask, window) == np.asarray(nearest)).mean() > 0.999


def test_at_scale_one_the_crop_is_a_cut():
    sample = noise(40, 50)
    window = CropWindow((40, 50), (7, 9), (20, 30))
    np.testing.assert_array_equal(resize_image(sample.image, window), sample.image[7:27, 9:39])
    np.testing.assert_array_equal(resize_mask(sample.mask, window), sample.mask[7:27, 9:39])


def test_image_and_mask_move_together():
    """A picture whose colour is its label: wherever a label goes, its colour must be."""
    labels = np.kron(np.arange(12, dtype=np.uint8).reshape(3, 4), np.ones((16, 16), np.uint8))
    sample = Sample(np.repeat((labels * 20)[..., None], 3, axis=2), labels, "blocks")
    config = AugmentConfig((40, 56))
    for seed in range(50):
        image, mask = augment(sample, config, np.random.default_rng(seed))
        valid = mask != IGNORE_INDEX
        agree = (image[0][valid].float() / 20).round() == mask[valid]
        # Only the blurred pixels at the borders of blocks may differ.
        assert agree.float().mean() > 0.8
        padding = image[:, ~valid].T
        assert (padding == torch.tensor(PAD_COLOUR, dtype=torch.uint8)).all()


def test_flip_mirrors_image_and_mask():
    sample = noise(30, 41)
    for seed in range(5):
        plain = augment(sample, AugmentConfig((24, 64), flip=0.0), np.random.default_rng(seed))
        mirrored = augment(sample, AugmentConfig((24, 64), flip=1.0), np.random.default_rng(seed))
        for one, other in zip(plain, mirrored, strict=True):
            assert torch.equal(one.flip(-1), other)
            assert not torch.equal(one, other)


def test_flip_has_its_probability():
    sample = noise(3, 4)
    upright = augment(
        sample, AugmentConfig((3, 4), (1.0, 1.0), flip=0.0), np.random.default_rng(0)
    )[0]
    config = AugmentConfig((3, 4), (1.0, 1.0), flip=0.25)
    flips = [
        not torch.equal(augment(sample, config, np.random.default_rng(seed))[0], upright)
        for seed in range(400)
    ]
    assert 0.18 < np.mean(flips) < 0.32


def test_padding_surrounds_the_whole_image():
    sample = noise(8, 9)
    config = AugmentConfig((20, 21), (1.0, 1.0), flip=0.0)
    corners = set()
    for seed in range(200):
        image, mask = augment(sample, config, np.random.default_rng(seed))
        rows, columns = torch.nonzero(mask != IGNORE_INDEX, as_tuple=True)
        top, left = int(rows.min()), int(columns.min())
        inside = np.s_[top : top + 8, left : left + 9]
        np.testing.assert_array_equal(mask[inside].numpy(), sample.mask)
        np.testing.assert_array_equal(image[:, *inside].permute(1, 2, 0).numpy(), sample.image)
        assert (mask == IGNORE_INDEX).sum() == 20 * 21 - 8 * 9
        outside = image[:, mask == IGNORE_INDEX].T
        assert (outside == torch.tensor(PAD_COLOUR, dtype=torch.uint8)).all()
        corners.add((top, left))
    assert {top for top, _ in corners} == set(range(13))
    assert {left for _, left in corners} == set(range(13))


def test_an_axis_may_be_padded_and_the_other_cut():
    image, mask = augment(
        noise(10, 50), AugmentConfig((20, 20), (1.0, 1.0)), np.random.default_rng(0)
    )
    assert image.shape == (3, 20, 20)
    assert (mask != IGNORE_INDEX).sum() == 10 * 20


def test_scale_and_place_are_uniform():
    config = AugmentConfig((32, 32))
    windows = [draw_window((100, 200), config, np.random.default_rng(i)) for i in range(2000)]
    factors = np.array([window.scaled[1] / 200 for window in windows])
    assert 0.5 <= factors.min() < 0.51
    assert 1.99 < factors.max() <= 2.0
    assert abs(factors.mean() - 1.25) < 0.03
    assert abs((factors < 1).mean() - 1 / 3) < 0.04
    places = np.array([window.offset[1] / (window.scaled[1] - 32) for window in windows])
    assert places.min() == 0
    assert places.max() == 1
    assert abs(places.mean() - 0.5) < 0.03


def test_same_generator_state_same_crop_and_nothing_else_is_drawn_from():
    sample = noise(40, 50)
    before = sample.image.copy()
    config = AugmentConfig((32, 48), brightness=0.3, contrast=0.3, saturation=0.3)
    state = torch.get_rng_state()
    first = augment(sample, config, np.random.default_rng(5))
    second = augment(sample, config, np.random.default_rng(5))
    other = augment(sample, config, np.random.default_rng(6))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])
    np.testing.assert_array_equal(sample.image, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_one_variation_does_not_disturb_the_others():
    sample = noise(40, 50)
    plain = AugmentConfig((32, 48))
    colourful = AugmentConfig((32, 48), brightness=0.5, pad_colour=(0.0, 0.0, 0.0))
    one, other = (augment(sample, c, np.random.default_rng(3)) for c in (plain, colourful))
    assert torch.equal(one[1], other[1])
    assert not torch.equal(one[0], other[0])


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colour_jitter(name):
    image = noise(20, 20).image // 2 + 32
    config = AugmentConfig((1, 1), **{name: 0.4})
    results = [jitter_colours(image, config, np.random.default_rng(i)) for i in range(60)]
    # What each strength scales: the mean, the spread between pixels, the spread in a pixel.
    measure = {
        "brightness": np.mean,
        "contrast": lambda a: a.mean(axis=2).std(),
        "saturation": lambda a: a.astype(float).std(axis=2).mean(),
    }[name]
    factors = [measure(result) / measure(image) for result in results]
    assert 0.58 < min(factors) < 0.7
    assert 1.3 < max(factors) < 1.42
    off = jitter_colours(image, AugmentConfig((1, 1)), np.random.default_rng(0))
    np.testing.assert_array_equal(off, image)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2)])
def test_tiny_images(size):
    image, mask = augment(noise(*size), AugmentConfig((5, 5)), np.random.default_rng(0))
    assert image.shape == (3, 5, 5)
    assert (mask != IGNORE_INDEX).any()


@given(
    size=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    side=st.sampled_from(["shorter_side", "longer_side"]),
    wanted=st.integers(1, 3000),
)
def test_the_side_asked_for_is_met_and_proportions_are_kept(size, side, wanted):
    resize = ResizeConfig(**{side: wanted})
    result = resize.size_of(size)
    assert (min if side == "shorter_side" else max)(result) == wanted
    factor = Fraction(wanted, (min if side == "shorter_side" else max)(size))
    for before, after in zip(size, result, strict=True):
        assert abs(after - before * factor) <= Fraction(1, 2) or after == 1
    assert resize.size_of(result) == result
    assert resize.size_of(size[::-1]) == result[::-1]


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(5, 90), st.integers(5, 90)),
    side=st.sampled_from(["shorter_side", "longer_side"]),
    wanted=st.integers(5, 80),
    seed=st.integers(0, 2**32 - 1),
)
def test_at_scale_one_the_crop_is_that_of_the_image_resized_by_pillow(size, side, wanted, seed):
    sample, resize = noise(*size, seed=seed), ResizeConfig(**{side: wanted})
    config = AugmentConfig((32, 40), scale=(1.0, 1.0))
    ours = augment(sample, config, np.random.default_rng(seed), resize)

    window = CropWindow(resize.size_of(size), (0, 0), resize.size_of(size))
    resized = Sample(*resize_then_crop(sample, window), "resized")
    image, mask = augment(resized, config, np.random.default_rng(seed))
    assert (ours[0].int() - image.int()).abs().max() <= 1
    assert torch.equal(ours[1], mask)


def test_the_scale_is_relative_to_the_resized_image():
    config, resize = AugmentConfig((30, 50), scale=(0.5, 2.0), flip=0.0), ResizeConfig(60)
    for seed in range(10):
        ours = augment(noise(41, 83), config, np.random.default_rng(seed), resize)
        window = draw_window((60, 121), config, np.random.default_rng(seed))
        image, mask = resize_then_crop(noise(41, 83), window)  # in one step, not in two
        filled = torch.from_numpy(image.transpose(2, 0, 1).copy())
        assert (ours[0][(slice(None), *window.target)].int() - filled.int()).abs().max() <= 1
        np.testing.assert_array_equal(ours[1][window.target], mask)


def test_a_size_that_an_image_has_changes_nothing():
    config = AugmentConfig((30, 50))
    plain = augment(noise(40, 80), config, np.random.default_rng(3))
    for resize in (ResizeConfig(shorter_side=40), ResizeConfig(longer_side=80)):
        same = augment(noise(40, 80), config, np.random.default_rng(3), resize)
        assert all(map(torch.equal, plain, same))
    other = augment(noise(40, 80), config, np.random.default_rng(3), ResizeConfig(39))
    assert not torch.equal(plain[0], other[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either shorter_side or longer_side"),
        ({"shorter_side": 5, "longer_side": 9}, "give either"),
        ({"longer_side": 0}, "at least 1 pixel, not 0"),
    ],
)
def test_a_resize_without_a_size_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ResizeConfig(**options)


def test_tensors_are_small_and_contiguous():
    for tensor in augment(noise(30, 30), AugmentConfig((8, 8), flip=1.0), np.random.default_rng(0)):
        assert tensor.dtype == torch.uint8
        assert tensor.is_contiguous()


def test_to_float_spans_zero_to_one():
    image = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(1, 3, 16, 16)
    result = to_float(image)
    assert result.dtype == torch.float32
    assert (result.min(), result.max()) == (0, 1)
    torch.testing.assert_close(result * 255, image.float())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": (0, 5)}, "crop: .* not"),
        ({"scale": (2.0, 0.5)}, r"scale: .* not \(2.0, 0.5\)"),
        ({"scale": (0.0, 0.5)}, "scale: "),
        ({"flip": 1.5}, r"flip: lies in \[0, 1\], not 1.5"),
        ({"contrast": -0.1}, r"contrast: lies in \[0, 1\], not -0.1"),
        ({"pad_colour": (124.0, 116.0, 104.0)}, r"pad_colour: RGB values lie in \[0, 1\]"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        AugmentConfig(**{"crop": (8, 8)} | options)


def test_a_further_colour_operation_changes_the_image_alone():
    def invert(image, config, rng):
        rng.random()
        return 255 - image

    sample, config = noise(40, 50), AugmentConfig((32, 72), (1.0, 1.0), brightness=0.3)
    plain = augment(sample, config, np.random.default_rng(3))
    operations = (*COLOUR_OPERATIONS, invert)
    changed = augment(sample, config, np.random.default_rng(3), operations=operations)
    assert torch.equal(plain[1], changed[1])
    inside = plain[1] != IGNORE_INDEX
    assert torch.equal(255 - plain[0][:, inside], changed[0][:, inside])
    assert torch.equal(plain[0][:, ~inside], changed[0][:, ~inside])
