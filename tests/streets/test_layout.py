"""Alleys are common, and only their far side tells houses from walls and pavement from road."""

import numpy as np

from eseg.streets.classes import BUILDING, CLASSES, PAVEMENT, TREE, WALL
from eseg.streets.layout import draw_corridor, draw_scene
from eseg.streets.scene import NOTHING, Plane


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
