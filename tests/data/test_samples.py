"""Samples: their dependence on seed, epoch and index alone, and errors as values."""

import itertools

import numpy as np
import torch

from eseg.data import sampling
from eseg.data.samples import EvalDataset, TrainDataset
from eseg.data.transforms import AugmentConfig
from eseg.errors import DataError
from eseg.runtime.class_table import ClassTable, Sample

CROP = AugmentConfig((16, 24))


class Noise:
    """Five read-only images of noise, the last of which cannot be read."""

    classes = ClassTable(("a", "b"), ((0, 0, 0), (255, 255, 255)))
    absent_counts = False

    def __len__(self):
        return 5

    def __getitem__(self, index):
        if index == 4:
            raise DataError("4.png: not an image")
        rng = np.random.RandomState(index)
        image, mask = rng.randint(0, 256, (20, 30, 3)), rng.randint(0, 2, (20, 30))
        image, mask = image.astype(np.uint8), mask.astype(np.uint8)
        image.flags.writeable = mask.flags.writeable = False  # As memory maps are.
        return Sample(image, mask, f"noise/{index}")


def test_a_crop_depends_on_seed_source_epoch_and_index_alone():
    dataset = TrainDataset((Noise(), Noise()), CROP, seed=9)
    first = dataset[0, 3, 2]
    dataset[0, 0, 0]
    again = dataset[0, 3, 2]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    alone = TrainDataset((Noise(),), CROP, seed=9)[0, 3, 2]
    assert all(torch.equal(a, b) for a, b in zip(first, alone, strict=True))
    other_seed = TrainDataset((Noise(),), CROP, seed=10)[0, 3, 2]
    for other in (dataset[0, 4, 2], dataset[1, 3, 2], other_seed):
        assert not torch.equal(first[0], other[0])


def test_the_streams_of_orders_and_crops_are_apart(monkeypatch):
    seeds = []

    def record(entropy):
        seeds.append(np.random.SeedSequence(entropy).generate_state(4).tobytes())
        return generator(entropy)

    generator = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", record)
    sampling._epoch_order.cache_clear()
    for epoch, source in itertools.product(range(4), range(2)):
        sampling._epoch_order(5, 2, epoch, source)
        for index in range(5):
            TrainDataset((Noise(), Noise()), CROP, 2)[source, epoch, index]
    assert len(seeds) == len(set(seeds)) == 2 * (4 + 20)


def test_images_to_evaluate_are_whole_and_may_be_written_to():
    image, mask, name = EvalDataset(Noise())[3]
    expected = Noise()[3]
    assert image.dtype == torch.uint8
    assert (image.numpy() == expected.image).all()
    assert (mask.numpy() == expected.mask).all()
    assert name == "noise/3"
    image.zero_()
    mask.zero_()


def test_errors_travel_as_values():
    for broken in (TrainDataset((Noise(),), CROP, 1)[0, 0, 4], EvalDataset(Noise())[4]):
        assert isinstance(broken, DataError)
        assert "4.png" in str(broken)
