"""Stages of a network timed apart: the same that label images elsewhere."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from eseg.checkpoint import describe_network, save_checkpoint
from eseg.deploy.benchmark import timed_network
from eseg.deploy.benchmark.timed_network import (
    STAGES,
    Subject,
    TimedNetwork,
    memory_mib,
    time_steps,
)
from eseg.models import PRESETS
from eseg.runtime.class_table import ClassTable
from eseg.runtime.engine import Engine
from eseg.runtime.predictor import Predictor


class Clock:
    """Moves by what steps take."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def step(self, seconds):
        def run(value):
            self.now += seconds
            return value

        return run


def test_steps_are_timed_apart_and_sum_up():
    clock = Clock()
    steps = {"preprocess": clock.step(1.0), "network": clock.step(4.0), "labels": clock.step(0.5)}
    seconds = time_steps(steps, np.zeros(1), clock=clock)
    assert seconds == {"preprocess": 1.0, "network": 4.0, "labels": 0.5, "whole": 5.5}


def test_on_a_device_that_runs_ahead_every_step_is_waited_for_but_the_whole_only_once():
    """Waiting takes 1 s and is when the work is done: three waits by stage, one for the whole."""
    clock = Clock()
    pending = []

    def step(seconds):
        return lambda value: pending.append(seconds) or value

    def wait():
        clock.now += sum(pending) + 1.0
        pending.clear()

    steps = {"preprocess": step(1.0), "network": step(4.0), "labels": step(0.5)}
    seconds = time_steps(steps, np.zeros(1), wait=wait, clock=clock)
    assert seconds == {"preprocess": 2.0, "network": 5.0, "labels": 1.5, "whole": 6.5}


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (41, 58, 3), dtype=np.uint8) for _ in range(2)]


@pytest.fixture
def one_thread():
    """Takes back what a network sets for its process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_labels_of_a_checkpoint_are_the_predictors(toy_run, images, one_thread):
    path = toy_run.folder / "best.pt"
    network = TimedNetwork(Subject("toy", path, "torch"))
    network.show(images)
    predict = Predictor(path, device="cpu")
    for index in (0, 1, 2):
        np.testing.assert_array_equal(network.labels(index), predict(images[index % 2]).labels)
    seconds = network.turn(0)
    assert tuple(seconds) == (*STAGES, "whole")
    assert seconds["whole"] == pytest.approx(sum(seconds[stage] for stage in STAGES))
    info, precision = network.describe()
    assert (precision, info.outputs, info.size) == ("fp32", "logits", None)
    memory = network.memory()
    assert 0 < memory["network"] < memory["process"]


@pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
def test_the_network_gets_the_resized_image(
    exported, described, resizing, tmp_path, one_thread, engine
):
    """A shorter side of 32 on a 256x256 image: the size that the Predictor gives the network."""
    if engine == "torch":
        path = tmp_path / "resizing.pt"
        save_checkpoint(resizing, path)
    else:
        path = described(exported("any.onnx"), resizing.describe(), tmp_path / "resizing.onnx")
    network, seen = TimedNetwork(Subject("x", path, engine)), []
    run = network._engine.network
    network._engine.network = lambda x: seen.append(tuple(x.shape)) or run(x)
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    network.show([image])
    labels = network.labels(0)
    assert {*seen} == {(1, 3, 32, 32) if engine == "torch" else (1, 32, 32, 3)}
    assert labels.shape == (256, 256)
    np.testing.assert_array_equal(labels, Predictor(path, device="cpu")(image).labels)


class Brighter(Engine):
    """An engine that finds the brighter of two colours, in cells of one pixel."""

    name = "onnxruntime"

    def __init__(self, outputs="logits", stored="fp32", computed="int8", size=None):
        self.source, self.precision = "x.onnx", computed
        classes = ClassTable(("dark", "bright"), ((0, 0, 0), (255, 255, 255)))
        info = describe_network(PRESETS["eseg_lite_s"], classes, step=0)
        self.info = replace(info, size=size, precision=stored, outputs=outputs)

    def network(self, x):
        logits = x[..., :2].astype(np.float32).transpose(0, 3, 1, 2)
        return logits if self.info.outputs == "logits" else logits.argmax(1).astype(np.uint8)


@pytest.mark.parametrize("outputs", ["logits", "labels"])
def test_every_engine_has_all_stages(monkeypatch, tmp_path, images, outputs):
    asked = {}

    def open_engine(path, **options):
        asked.update(options)
        return Brighter(outputs)

    monkeypatch.setattr(timed_network, "open_engine", open_engine)
    network = TimedNetwork(Subject("x", tmp_path / "x.onnx", "onnxruntime", threads=3))
    network.show(images)
    assert (asked["threads"], asked["precision"]) == (3, "auto")
    assert network.describe() == (network._engine.info, "int8")
    assert tuple(network.turn(1)) == (*STAGES, "whole")
    expected = images[1][..., 1] > images[1][..., 0]
    np.testing.assert_array_equal(network.labels(1), expected)


@pytest.mark.parametrize(
    ("asked", "stored", "computed"),
    [("bf16", "fp32", "bf16"), ("fp32", "int8", "int8"), ("auto", "fp16", "fp32")],
)
def test_the_arithmetic_that_is_computed_in_is_listed(
    monkeypatch, tmp_path, asked, stored, computed
):
    engine = Brighter(stored=stored, computed=computed, size=(8, 8))
    monkeypatch.setattr(timed_network, "open_engine", lambda *_, **__: engine)
    network = TimedNetwork(Subject("x", tmp_path / "x.xml", "openvino", precision=asked))
    info, precision = network.describe()
    assert (precision, info.size) == (computed, (8, 8))


def test_the_device_that_computes_is_waited_for_and_its_memory_counted(
    monkeypatch, tmp_path, images
):
    waits = []

    class OnDevice(Brighter):
        runs_ahead = True

        def wait(self):
            waits.append(None)

        def device_bytes(self):
            return 2**21

    for engine, expected in ((Brighter(), 0), (OnDevice(), len(STAGES) + 1)):
        monkeypatch.setattr(timed_network, "open_engine", lambda *_, loaded=engine, **__: loaded)
        network = TimedNetwork(Subject("x", tmp_path / "x.onnx", "onnxruntime"))
        network.show(images)
        waits.clear()
        network.turn(0)
        assert len(waits) == expected
        assert network.memory().get("cuda") == (2 if expected else None)


def test_processes_of_exported_networks_are_free_of_torch():
    """Else their memory would not be what it is on a robot."""
    modules = "eseg.deploy.benchmark.timed_network, eseg.deploy.benchmark.processes"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_memory_grows_with_what_is_held():
    before, _ = memory_mib()
    held = np.ones(2**26, np.uint8)  # 64 MiB
    now, peak = memory_mib()
    assert held.all()
    assert now - before > 50
    assert peak >= now
