"""Numbers of cores: affinity is respected, and hardware threads of one core count once."""

import os

import pytest

from eseg.data import cores


def test_cores_of_this_machine():
    assert 1 <= cores.physical_cores() <= cores.usable_cores() <= (os.cpu_count() or 1)


def test_affinity_is_respected():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert (cores.usable_cores(), cores.physical_cores()) == (1, 1)
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(("usable", "total", "physical"), [(8, 4, 4), (2, 4, 2), (3, None, 3)])
def test_systems_that_do_not_say_which_threads_share_a_core(monkeypatch, usable, total, physical):
    monkeypatch.setattr(cores, "_usable", lambda: list(range(10_000, 10_000 + usable)))
    monkeypatch.setattr(cores.psutil, "cpu_count", lambda logical: total)
    assert cores.physical_cores() == physical
