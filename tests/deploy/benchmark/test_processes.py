import importlib
import os
import signal

import pytest

from eseg.deploy.benchmark.processes import Remote
from eseg.errors import BenchmarkError


def test_calls_reach_an_object_in_another_process():
    with Remote("os", importlib.import_module, "os") as remote:
        assert remote.call("getpid") != os.getpid()
        with pytest.raises(FileNotFoundError, match="nowhere"):
            remote.call("stat", "/nowhere")
        assert remote.call("fspath", "still there") == "still there"


def test_what_hinders_making_the_object_is_raised_at_the_first_call():
    with (
        Remote("int", int, "seven") as remote,
        pytest.raises(ValueError, match="seven"),
    ):
        remote.call("bit_length")


def test_a_killed_process_is_named_and_its_likely_cause():
    with Remote("the network", importlib.import_module, "os") as remote:
        pid = remote.call("getpid")
        with pytest.raises(BenchmarkError, match=r"the network: .*memory"):
            remote.call("kill", pid, signal.SIGKILL)
        with pytest.raises(BenchmarkError, match="the network"):
            remote.call("getpid")
    assert not is_alive(pid)


def test_closing_ends_the_process():
    remote = Remote("os", importlib.import_module, "os")
    pid = remote.call("getpid")
    remote.close()
    assert not is_alive(pid)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
