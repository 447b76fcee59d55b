"""Short runs on the toy data, and the comparison of two of them."""

import itertools
from contextlib import nullcontext

import pytest
import torch

from eseg.checkpoint import load_checkpoint
from eseg.reports.reporter import Reporter, TrainingProgress
from eseg.training import trainer
from eseg.training.run_folder import RunFolder, read_log
from eseg.training.step import Stepper

TIMING = ("images_per_second", "memory_mib")


def flat(values, prefix=""):
    """Every tensor and number of nested dicts and lists, by its path."""
    if isinstance(values, dict | list | tuple):
        items = values.items() if isinstance(values, dict) else enumerate(values)
        return dict(
            itertools.chain.from_iterable(flat(v, f"{prefix}/{k}").items() for k, v in items)
        )
    return {prefix: values}


def assert_equal_values(left, right):
    left, right = flat(left), flat(right)
    assert left.keys() == right.keys()
    for key, value in left.items():
        same = torch.equal(value, right[key]) if torch.is_tensor(value) else value == right[key]
        assert same, key


def assert_equal_runs(left, right):
    """Weights, momentum, average, best scores and log of two folders, bit for bit."""
    for file in ("last.pt", "best.pt"):
        ours, theirs = load_checkpoint(left / file), load_checkpoint(right / file)
        assert ours.step == theirs.step
        assert_equal_values(ours.weights, theirs.weights)
        assert_equal_values(ours.training, theirs.training)
        assert ours.scores == theirs.scores
    logs = [
        [
            {key: value for key, value in record.items() if key not in TIMING}
            for record in read_log(folder / "log.jsonl")
        ]
        for folder in (left, right)
    ]
    assert logs[0] == logs[1]


@pytest.fixture
def same_values():
    """Asserts that nested dicts and lists hold the same tensors and numbers."""
    return assert_equal_values


@pytest.fixture
def same_runs():
    """Asserts that two run folders came to the same, bit for bit."""
    return assert_equal_runs


class Recorder(Reporter, TrainingProgress):
    """Keeps the lines and figures that it receives."""

    def __init__(self):
        self.lines, self.steps, self.evaluations = [], [], []

    def say(self, text):
        self.lines.append(text)

    def training(self, steps, done):
        return nullcontext(self)

    def advance(self, loss, lr, images_per_second, peak_memory_mib):
        self.steps.append((loss, lr))

    def evaluated(self, *figures):
        self.evaluations.append(figures)


@pytest.fixture
def recorder():
    """The reporter of `train`."""
    return Recorder()


@pytest.fixture
def train(tmp_path, monkeypatch, recorder):
    """Trains without the report at the end, into a folder of that name."""
    monkeypatch.setattr(RunFolder, "report", lambda *_: None)

    def run(config, name="run", **options):
        return trainer.train(config, tmp_path / name, device="cpu", reporter=recorder, **options)

    return run


def break_off(step, config, folder):
    take = Stepper.step

    def take_or_break_off(self, batches):
        if self.state.step == step:
            raise KeyboardInterrupt
        return take(self, batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stepper, "step", take_or_break_off)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(config, folder, device="cpu")


@pytest.fixture
def train_until(tmp_path):
    """Trains until that many steps are done, and is broken off there."""

    def run(step, config, name="run"):
        break_off(step, config, tmp_path / name)

    return run


@pytest.fixture(scope="module")
def run_of_five_steps(toy_config, tmp_path_factory):
    """A run broken off after 5 of 6 steps, and its config; `last` is of step 4, `previous` of 2."""
    config = toy_config({"train.steps": 6, "train.checkpoint_every": 2, "train.eval_every": 4})
    folder = tmp_path_factory.mktemp("five") / "run"
    break_off(5, config, folder)
    return config, folder
