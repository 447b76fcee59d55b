"""Rendered scenes are valid at every size, varied, and hard for small patches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eseg.runtime.class_table import IGNORE_INDEX
from eseg.streets import CLASSES, Streets, StreetsConfig, render_scene

TWINS = [("road", "pavement"), ("building", "wall"), ("tree", "grass")]


@pytest.fixture(scope="module")
def scenes():
    """Thirty scenes at a size at which slender things can be counted."""
    dataset = Streets("train", StreetsConfig(size=(128, 256)))
    return [dataset[index] for index in range(30)]


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(0, 2**32))
def test_any_size_renders_valid_classes(height, width, seed):
    image, mask = render_scene(seed, (height, width))
    assert image.shape == (height, width, 3)
    assert mask.shape == (height, width)
    assert set(np.unique(mask)) <= {*range(len(CLASSES)), IGNORE_INDEX}


@pytest.mark.parametrize("size", [(32, 64), (33, 65), (97, 51), (256, 512)])
def test_pictures_are_not_flat(size):
    image, mask = render_scene(5, size)
    assert image.std() > 10
    assert len(np.unique(mask)) >= 4


def test_scene_does_not_depend_on_the_size():
    for seed in range(4):
        _, fine = render_scene(seed, (256, 512))
        _, coarse = render_scene(seed, (128, 256))
        agreement = np.mean(fine[::2, ::2] == coarse)
        assert agreement > 0.9, f"scene {seed}: only {agreement:.3f} of the pixels agree"


def test_every_class_is_common(scenes):
    counts = np.array([np.bincount(s.mask.ravel(), minlength=256) for s in scenes])
    shares = counts / counts.sum(axis=1, keepdims=True)
    for label, name in enumerate(CLASSES.names):
        assert np.mean(shares[:, label] > 0) >= 0.6, f"{name} is missing from too many scenes"
        assert shares[:, label].mean() > 0.008, f"{name} covers too few pixels"
        assert shares[:, label].mean() < 0.4, f"{name} covers too many pixels"
    assert shares[:, IGNORE_INDEX].mean() < 0.05


def grey_levels(scenes, name):
    """Distribution of grey levels over all pixels of a class, in 16 bins."""
    label = CLASSES.names.index(name)
    values = np.concatenate([s.image[s.mask == label].mean(axis=-1) for s in scenes])
    return np.histogram(values, bins=16, range=(0, 256))[0] / len(values)


@pytest.mark.parametrize(("one", "other"), TWINS)
def test_twin_classes_share_their_tones(scenes, one, other):
    overlap = np.minimum(grey_levels(scenes, one), grey_levels(scenes, other)).sum()
    assert overlap > 0.7, f"{one} and {other} differ in tone: overlap {overlap:.2f}"


def test_classes_that_are_no_twins_differ_in_tone(scenes):
    assert np.minimum(grey_levels(scenes, "road"), grey_levels(scenes, "sky")).sum() < 0.4
