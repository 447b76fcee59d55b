import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import eseg.runtime.sessions
import numpy as np
import pytest
import torch

from eseg.deploy.benchmark import torch_stages
from eseg.deploy.benchmark.timed_network import (
    STAGES,
    Subject,
    TimedNetwork,
    memory_mib,
    open_stages,
    time_steps,
)
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
    about = network.about()
    assert (about.precision, about.outputs, about.size) == ("fp32", "logits", None)
    memory = network.memory()
    assert 0 < memory["network"] < memory["process"]


@pytest.mark.parametrize(("outputs", "stages"), [("logits", STAGES[1:]), ("labels", STAGES[1:2])])
def test_exported_files_have_the_stages_that_are_outside_the_graph(
    monkeypatch, tmp_path, images, outputs, stages
):
    """A network that finds the brighter of two colours, in cells of one pixel."""

    def run(image):
        logits = image[..., :2].astype(np.float32).transpose(0, 3, 1, 2)
        return logits if outputs == "logits" else logits.argmax(1).astype(np.uint8)

    asked = {}

    def open_session(path, **options):
        asked.update(options)
        info = SimpleNamespace(model={}, size=None, precision="int8", outputs=outputs)
        return SimpleNamespace(info=info, precision="int8", run=run)

    monkeypatch.setattr(eseg.runtime.sessions, "open_session", open_session)
    network = TimedNetwork(Subject("x", tmp_path / "x.onnx", "onnxruntime", threads=3))
    network.show(images)
    assert asked["threads"] == 3
    assert asked["precision"] is None
    assert network.about().precision == "int8"
    assert tuple(network.turn(1)) == (*stages, "whole")
    expected = images[1][..., 1] > images[1][..., 0]
    np.testing.assert_array_equal(network.labels(1), expected)


@pytest.mark.parametrize(
    ("asked", "stored", "computed"),
    [("bf16", "fp32", "bf16"), ("fp32", "int8", "int8"), ("auto", "fp16", "fp32")],
)
def test_what_a_network_is_computed_in_is_listed(monkeypatch, tmp_path, asked, stored, computed):
    info = SimpleNamespace(model={}, size=(8, 8), precision=stored, outputs="logits")
    session = SimpleNamespace(info=info, precision=computed)
    monkeypatch.setattr(eseg.runtime.sessions, "open_session", lambda *_, **__: session)
    subject = Subject("x", tmp_path / "x.xml", "openvino", precision=asked)
    about = open_stages(subject).about
    assert (about.precision, about.size) == (computed, (8, 8))


def test_the_device_that_computes_is_waited_for_and_counted(toy_run, monkeypatch, one_thread):
    """Whichever it is; the CPU stands in for it, and calls are recorded with their device."""
    asked = []
    monkeypatch.setattr(
        torch.accelerator, "synchronize", lambda device: asked.append(("wait", str(device)))
    )
    monkeypatch.setattr(
        torch.cuda, "max_memory_allocated", lambda device: asked.append(("bytes", device)) or 2**21
    )
    for name, calls in [
        ("cpu", []),
        ("mps", [("wait", "mps")]),
        ("cuda:1", [("wait", "cuda:1"), ("bytes", torch.device("cuda:1"))]),
    ]:
        wait, cuda_bytes = torch_stages._counters(torch.device(name))
        asked.clear()
        network = TimedNetwork(Subject("toy", toy_run.folder / "best.pt", "torch"))
        network._stages = replace(network._stages, wait=wait, cuda_bytes=cuda_bytes)
        if wait is not None:
            wait()
        assert ("cuda" in network.memory()) == name.startswith("cuda")
        assert asked == calls


def test_processes_of_exported_networks_are_free_of_torch():
    """Else their memory would not be what it is on a robot."""
    modules = "eseg.deploy.benchmark.timed_network, eseg.deploy.benchmark.processes"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_memory_grows_with_what_is_held():
    before, _ = memory_mib()
    held = np.ones(2**25, np.uint8)  # 32 MiB
    now, peak = memory_mib()
    assert held.all()
    assert now - before > 25
    assert peak >= now
