"""The order of training samples as a function of seed, step and process alone."""

import itertools
from collections import Counter

import pytest

from eseg.data.dataset import DataError
from eseg.data.sampling import TrainSampler

LENGTH = 7


def places(count, **options):
    """The first `count` keys of a sampler, batch by batch one after the other."""
    return list(itertools.islice(itertools.chain.from_iterable(TrainSampler(**options)), count))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 20])
def test_every_epoch_is_a_permutation_also_across_batches(batch_size):
    keys = places(5 * LENGTH, length=LENGTH, batch_size=batch_size, seed=3)
    orders = [keys[i : i + LENGTH] for i in range(0, len(keys), LENGTH)]
    for epoch, order in enumerate(orders):
        assert {e for e, _ in order} == {epoch}
        assert sorted(index for _, index in order) == list(range(LENGTH))
    assert len({tuple(index for _, index in order) for order in orders}) > 1
    assert places(35, length=LENGTH, batch_size=batch_size, seed=4) != keys


def test_permutations_are_uniform():
    firsts = Counter(places(4, length=4, batch_size=1, seed=seed)[0][1] for seed in range(400))
    assert min(firsts.values()) > 70


@pytest.mark.parametrize("world", [2, 3])
def test_processes_together_see_the_batches_of_one(world):
    whole = TrainSampler(LENGTH, batch_size=2 * world, seed=5)
    parts = [TrainSampler(LENGTH, 2, seed=5, rank=rank, world=world) for rank in range(world)]
    for expected, *shares in itertools.islice(zip(whole, *parts, strict=False), 12):
        assert list(itertools.chain.from_iterable(shares)) == expected


def test_a_resumed_order_goes_on_where_it_stopped():
    straight = places(30, length=LENGTH, batch_size=3, seed=1)
    assert places(15, length=LENGTH, batch_size=3, seed=1, start_step=5) == straight[15:]


def test_bad_settings():
    with pytest.raises(DataError, match="the training split is empty"):
        TrainSampler(0, batch_size=1, seed=0)
    for options in ({"batch_size": 0}, {"rank": 2, "world": 2}, {"start_step": -1}):
        with pytest.raises(ValueError, match="need batch_size >= 1, 0 <= rank < world"):
            TrainSampler(**{"length": 5, "batch_size": 1, "seed": 0} | options)
    for seed in (-1, 2**32):
        with pytest.raises(ValueError, match=rf"seed: lies in \[0, 2\*\*32\), not {seed}"):
            TrainSampler(3, batch_size=1, seed=seed)
