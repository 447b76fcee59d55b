import pytest

from eseg.deploy.benchmark.timing import Times, take_turns


def test_every_round_gives_everybody_one_turn_in_a_new_order():
    seen = []
    turns = {name: lambda number, name=name: seen.append((number, name)) or name for name in "abcd"}
    results = take_turns(turns, 12)
    rounds = [seen[i : i + 4] for i in range(0, len(seen), 4)]
    assert [{number for number, _ in one} for one in rounds] == [{i} for i in range(12)]
    orders = ["".join(name for _, name in one) for one in rounds]
    assert all(sorted(order) == list("abcd") for order in orders)
    assert len(set(orders)) > 6
    assert results == {name: [name] * 12 for name in "abcd"}


def test_the_order_depends_on_the_seed_alone():
    def order(seed):
        seen = []
        take_turns({name: lambda _, n=name: seen.append(n) for name in "abcde"}, 5, seed=seed)
        return seen

    assert order(3) == order(3) != order(4)


def test_times_are_percentiles_in_milliseconds():
    times = Times.of([i / 1000 for i in range(101)])
    assert (times.p5, times.median, times.p95) == pytest.approx((5, 50, 95))
    assert times.spread == pytest.approx(90 / 50)
    assert times.to_dict() == {"median": 50.0, "p5": 5.0, "p95": 95.0}
