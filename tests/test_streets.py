"""The procedural street scenes: reproducible, valid at every size, and hard for small patches."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eseg.errors import DataError
from eseg.runtime.class_table import IGNORE_INDEX
from eseg.streets import CLASSES, Streets, StreetsConfig, render_scene
from eseg.streets.classes import BUILDING, PAVEMENT, TREE, WALL
from eseg.streets.ground import draw_corridor
from eseg.streets.layout import draw_scene
from eseg.streets.scene import NOTHING, Plane

SMALL = (64, 128)
TWINS = [("road", "pavement"), ("building", "wall"), ("tree", "grass")]


def digest(image, mask):
    return hashlib.sha256(image.tobytes() + mask.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def scenes():
    """Thirty scenes at a size at which slender things can be counted."""
    dataset = Streets("train", StreetsConfig(size=(128, 256)))
    return [dataset[index] for index in range(30)]


def test_sample_has_the_shapes_and_types_of_the_contract():
    image, mask, name = Streets("val", StreetsConfig(size=(40, 90)))[3]
    assert image.shape == (40, 90, 3)
    assert image.dtype == np.uint8
    assert mask.shape == (40, 90)
    assert mask.dtype == np.uint8
    assert name == "streets_val_00003"


def test_same_scene_on_every_call_in_any_order():
    dataset = Streets("train", StreetsConfig(size=SMALL))
    first = [digest(*dataset[index][:2]) for index in (0, 1, 2)]
    again = [digest(*dataset[index][:2]) for index in (2, 1, 0)]
    assert first == again[::-1]


def test_same_scene_in_another_process():
    code = (
        "import hashlib\n"
        "from eseg.streets import Streets, StreetsConfig\n"
        f"image, mask, _ = Streets('val', StreetsConfig(size={SMALL}))[7]\n"
        "print(hashlib.sha256(image.tobytes() + mask.tobytes()).hexdigest())\n"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert elsewhere == digest(*Streets("val", StreetsConfig(size=SMALL))[7][:2])


def test_scenes_do_not_share_memory():
    dataset = Streets("train", StreetsConfig(size=SMALL))
    image, mask, _ = dataset[0]
    before = digest(image, mask)
    image[:], mask[:] = 0, 0
    assert digest(*dataset[0][:2]) == before


def test_splits_seeds_and_indices_share_no_scene():
    digests = [
        digest(*Streets(split, StreetsConfig(size=(32, 64), seed=seed))[index][:2])
        for split in ("train", "val")
        for seed in (0, 1)
        for index in range(8)
    ]
    assert len(set(digests)) == len(digests)


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


def test_length_and_index_errors():
    dataset = Streets("val", StreetsConfig(size=(16, 32), val_length=3))
    assert len(dataset) == 3
    assert len(list(dataset)) == 3
    for index in (3, -1):
        with pytest.raises(IndexError, match="3 scenes"):
            dataset[index]


def test_unknown_split_names_the_splits():
    with pytest.raises(DataError, match=r"'test'.*train, val"):
        Streets("test")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"size": (0, 64)}, "size"),
        ({"train_length": 0}, "train_length"),
        ({"val_length": -1}, "val_length"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
    ],
)
def test_impossible_config_is_refused(change, named):
    with pytest.raises(DataError, match=named):
        StreetsConfig(**change)


def test_the_far_side_of_an_alley_decides_about_its_masonry_and_ground():
    opposite = {True: np.zeros(len(CLASSES)), False: np.zeros(len(CLASSES))}
    alleys = 0
    for seed in range(300):
        corridor = draw_corridor(np.random.default_rng(seed))
        alleys += bool(corridor.blind)
        assert corridor.blind or not corridor.pedestrian
    assert 0.25 < alleys / 300 < 0.45

    for seed in range(120):
        scene = draw_scene(np.random.default_rng(seed))
        walkway, carriageway = scene.ground.strips[1], scene.ground.strips[4]
        if walkway != carriageway:
            continue
        old_town = scene.surfaces[walkway].label == PAVEMENT
        (blind,) = [plane for plane in scene.planes if is_blind(plane)]
        labels = {scene.surfaces[segment.surface].label for segment in blind.segments}
        assert labels == {BUILDING if old_town else WALL}
        for other in scene.planes:
            if (other.x > 0) != (blind.x > 0):
                parts = [part.surface for part in other.segments if part.surface != NOTHING]
                for surface in parts:
                    opposite[old_town][scene.surfaces[surface].label] += 1
    assert opposite[True].nonzero()[0].tolist() == [BUILDING]
    assert opposite[False].nonzero()[0].tolist() == [WALL, TREE]


def is_blind(plane: Plane) -> bool:
    """Whether a side is bare masonry too high to see over."""
    return all(
        part.facade is None and part.height >= 9 and not part.ragged for part in plane.segments
    )


def test_class_table_is_drawable():
    assert len(CLASSES) == 11
    assert len(set(CLASSES.colours)) == len(CLASSES)
    assert Streets("train").classes is CLASSES
