"""End of `eseg train` when something from outside ends it, alone and among other processes."""

import os
import signal
import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

from eseg.cli import app, screen
from eseg.config import to_plain
from eseg.errors import CheckpointError, LostProcessError
from eseg.training import trainer


@pytest.fixture
def eseg_train(toy_config, tmp_path, monkeypatch):
    """Calls `eseg train` with something else in place of the training."""
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(to_plain(toy_config())))

    def call(instead):
        monkeypatch.setattr(trainer, "train", lambda *_, **__: instead())
        return CliRunner().invoke(app, ["train", str(path), "--no-check"])

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


OWN = CheckpointError("last.pt: damaged")
LOST = LostProcessError("another one has ended")


@pytest.mark.parametrize(
    ("local_rank", "error", "waits"),
    [
        (None, OWN, []),
        ("0", OWN, []),
        ("1", OWN, [3]),
        ("0", LOST, [6]),
        ("1", LOST, [6]),
    ],
)
def test_the_process_that_knows_the_cause_speaks_first(
    eseg_train, monkeypatch, local_rank, error, waits
):
    """The others wait; torchrun ends them when the first has failed."""
    slept, handlers = [], []
    monkeypatch.setattr(screen.time, "sleep", slept.append)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local_rank is not None:
        monkeypatch.setenv("LOCAL_RANK", local_rank)
        monkeypatch.setenv("WORLD_SIZE", "8")

    def fail():
        handlers.append(signal.getsignal(signal.SIGTERM))
        raise error

    result = eseg_train(fail)
    assert result.exit_code == 2
    assert str(error) in result.output
    assert slept == waits
    is_first = local_rank in (None, "0")
    assert (handlers[0] != signal.SIG_DFL) == is_first, "the others end without a word"


@pytest.mark.parametrize(("local_rank", "speaks"), [(None, True), ("0", True), ("1", False)])
def test_ctrl_c_says_once_how_to_go_on(eseg_train, monkeypatch, local_rank, speaks):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local_rank is not None:
        monkeypatch.setenv("LOCAL_RANK", local_rank)
        monkeypatch.setenv("WORLD_SIZE", "2")

    def interrupt():
        raise KeyboardInterrupt

    result = eseg_train(interrupt)
    assert result.exit_code == 130
    assert ("interrupted" in result.output) == ("--resume) goes on" in result.output) == speaks


SCRIPT = """
import os

import torch
import typer
from eseg.checkpoint import CheckpointError
from eseg.cli.screen import clear_errors
from eseg.training.distributed import join_processes

try:
    with clear_errors(), join_processes(torch.device("cpu")) as processes:
        if processes.rank == 1:
            raise CheckpointError("last.pt: no permission to read it")
        torch.distributed.barrier()
except typer.Exit:
    os._exit(2)
"""


def test_an_error_in_the_second_process_alone_is_told(tmp_path):
    """The first sees a lost connection at once, and must not end the second before it speaks."""
    (tmp_path / "script.py").write_text(SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, str(tmp_path / "script.py")],
        capture_output=True,
        text=True,
        timeout=100,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode != 0
    told = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert told[0] == "error: last.pt: no permission to read it"
