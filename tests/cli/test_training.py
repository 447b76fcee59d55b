"""How `eseg train` ends when something from outside ends it, alone and among other processes."""

import os
import signal

import pytest
import yaml
from typer.testing import CliRunner

from eseg.checkpoint import CheckpointError
from eseg.cli import app, screen
from eseg.config import to_plain
from eseg.training import trainer


@pytest.fixture
def eseg_train(toy_config, tmp_path, monkeypatch):
    """Calls `eseg train` with something else in place of the training."""
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(to_plain(toy_config())))

    def call(instead):
        monkeypatch.setattr(trainer, "train", lambda *_, **__: instead())
        return CliRunner().invoke(app, ["train", str(path)])

    return call


def receive_sigterm():
    os.kill(os.getpid(), signal.SIGTERM)
    return signal.sigtimedwait([], 10)  # the handler runs before this


def test_sigterm_says_how_to_go_on(eseg_train):
    before = signal.getsignal(signal.SIGTERM)
    result = eseg_train(receive_sigterm)
    assert result.exit_code == 128 + signal.SIGTERM
    assert "ended from outside (SIGTERM)" in result.output
    assert "--resume" in result.output
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_exit_of_another_kind_is_left_alone(eseg_train):
    def leave():
        raise SystemExit(3)

    result = eseg_train(leave)
    assert (result.exit_code, result.output) == (3, "")


@pytest.mark.parametrize(("local_rank", "waits"), [(None, []), ("0", []), ("1", [3]), ("7", [3])])
def test_only_the_first_process_of_a_machine_speaks_at_once(
    eseg_train, monkeypatch, local_rank, waits
):
    """The others wait; torchrun ends them when the first has failed."""
    slept, handlers = [], []
    monkeypatch.setattr(screen.time, "sleep", slept.append)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local_rank is not None:
        monkeypatch.setenv("LOCAL_RANK", local_rank)

    def fail():
        handlers.append(signal.getsignal(signal.SIGTERM))
        raise CheckpointError("last.pt: damaged")

    result = eseg_train(fail)
    assert result.exit_code == 2
    assert "last.pt: damaged" in result.output
    assert slept == waits
    assert (handlers[0] == signal.SIG_DFL) == bool(waits), "the others end without a word"
