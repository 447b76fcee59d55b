"""The order of training samples as a function of seed, step and process alone."""

import itertools
from collections import Counter

import pytest

from eseg.data.sampling import TrainSampler, split_batch
from eseg.errors import DataError

LENGTH = 7


def places(count, *, length, batch_size, **options):
    """The first `count` (epoch, index) of one source, batch by batch one after the other."""
    batches = TrainSampler((length,), (batch_size,), **options)
    keys = itertools.islice(itertools.chain.from_iterable(batches), count)
    return [(epoch, index) for _, epoch, index in keys]


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
    whole = TrainSampler((LENGTH,), (2 * world,), seed=5)
    parts = [TrainSampler((LENGTH,), (2,), seed=5, rank=rank, world=world) for rank in range(world)]
    for expected, *shares in itertools.islice(zip(whole, *parts, strict=False), 12):
        assert list(itertools.chain.from_iterable(shares)) == expected


def test_a_resumed_order_goes_on_where_it_stopped():
    straight = places(30, length=LENGTH, batch_size=3, seed=1)
    assert places(15, length=LENGTH, batch_size=3, seed=1, start_step=5) == straight[15:]


def test_bad_settings():
    with pytest.raises(DataError, match="the training split is empty"):
        TrainSampler((5, 0), (1, 1), seed=0)
    for options in ({"batch_sizes": (0,)}, {"rank": 2, "world": 2}, {"start_step": -1}):
        with pytest.raises(ValueError, match="need batch_sizes >= 1, 0 <= rank < world"):
            TrainSampler(**{"lengths": (5,), "batch_sizes": (1,), "seed": 0} | options)
    for seed in (-1, 2**32):
        with pytest.raises(ValueError, match=rf"seed: lies in \[0, 2\*\*32\), not {seed}"):
            TrainSampler((3,), (1,), seed=seed)


def mixed(parts=(2, 2), lengths=(LENGTH, LENGTH), seed=3, **options):
    """Batches of a labelled set and pseudo-labels."""
    return TrainSampler(lengths, parts, seed, **options)


def of_source(batches, source):
    return [(epoch, index) for batch in batches for s, epoch, index in batch if s == source]


@pytest.mark.parametrize("parts", [(2, 2), (1, 3), (5, 4)])
def test_every_batch_has_the_same_parts(parts):
    for batch in itertools.islice(mixed(parts, (LENGTH, 40)), 30):
        assert Counter(source for source, _, _ in batch) == dict(enumerate(parts))


def test_each_source_goes_through_its_own_epochs():
    batches = list(itertools.islice(mixed((3, 3), (LENGTH, 11)), 77))
    for source, length in enumerate((LENGTH, 11)):
        keys = of_source(batches, source)
        for epoch, start in enumerate(range(0, len(keys), length)):
            order = keys[start : start + length]
            assert {e for e, _ in order} == {epoch}
            assert sorted(index for _, index in order) == list(range(length))


def test_sources_of_one_length_have_different_orders():
    batches = list(itertools.islice(mixed(lengths=(50, 50)), 25))
    assert of_source(batches, 0) != of_source(batches, 1)


def test_the_labelled_set_comes_as_it_does_alone():
    batches = list(itertools.islice(mixed((2, 2)), 20))
    assert of_source(batches, 0) == places(40, length=LENGTH, batch_size=2, seed=3)


def test_mixed_batches_are_shared_and_resumed_exactly():
    whole = list(itertools.islice(mixed((4, 2), (LENGTH, 9)), 12))
    ranks = [
        itertools.islice(mixed((2, 1), (LENGTH, 9), rank=rank, world=2, start_step=5), 7)
        for rank in (0, 1)
    ]
    for expected, *shares in zip(whole[5:], *ranks, strict=True):
        assert sorted(itertools.chain.from_iterable(shares)) == sorted(expected)


@pytest.mark.parametrize(
    ("batch", "fraction", "parts"),
    [(8, 0.5, (4, 4)), (8, 0.25, (6, 2)), (10, 0.3, (7, 3)), (12, 0.333, (8, 4)), (2, 0.5, (1, 1))],
)
def test_the_parts_of_a_batch(batch, fraction, parts):
    assert split_batch(batch, fraction) == parts


@pytest.mark.parametrize(("batch", "fraction"), [(3, 0.5), (1, 0.5), (4, 0.3), (4, 0.999)])
def test_parts_that_are_no_whole_images_are_refused(batch, fraction):
    with pytest.raises(DataError, match=rf"data.pseudo.fraction: {fraction} of {batch} is no"):
        split_batch(batch, fraction)
