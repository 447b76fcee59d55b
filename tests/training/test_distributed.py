"""Several processes under torchrun, on one node and two; and one, which must notice nothing."""

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from torch import nn
from typer.testing import CliRunner

from eseg.checkpoint import load_checkpoint
from eseg.cli import app
from eseg.config import save_config
from eseg.errors import CheckpointError, DeviceError, LostProcessError, TrainingError
from eseg.models import ModelConfig, create_model
from eseg.training import distributed
from eseg.training.distributed import (
    Processes,
    average_statistics,
    fresh_store,
    is_same_everywhere,
    join_processes,
    local_statistics,
    mean_over_processes,
    share_network,
)
from eseg.training.run_folder import read_log

CPU = torch.device("cpu")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
STEPS, DEATH = 12, 7

SCRIPT = f"""
import json, os, signal, sys
from pathlib import Path

from eseg.cli import app
from eseg.training import run_folder
from eseg.training.step import Stepper

folder, output, dies = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "dies"
rank, step = int(os.environ["RANK"]), Stepper.step


def digest(model):
    return sum(value.double().abs().sum().item() for value in model.state_dict().values())


def step_or_die(self, batches):
    if dies and rank == 1 and self.state.step == {DEATH} and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    result = step(self, batches)
    if self.state.step == {STEPS}:
        digests = [digest(self.state.network), digest(self.state.average.model)]
        (output.parent / f"{{output.name}}{{rank}}.json").write_text(json.dumps(digests))
    return result


Stepper.step = step_or_die
run_folder.RunFolder.report = lambda *_: None
app(["train", str(folder / "run.yaml"), "--output", str(output), "--resume", "--device", "cpu"])
"""


@pytest.fixture(scope="module")
def folder(toy_config, tmp_path_factory):
    """The config of a run, and the script that trains as `eseg train` does."""
    changes = {"train.steps": STEPS, "train.accumulate": 2, "train.log_every": 5}
    changes |= {"train.eval_every": 6, "train.checkpoint_every": 2, "augment.brightness": 0.3}
    folder = tmp_path_factory.mktemp("processes")
    save_config(toy_config(changes), folder / "run.yaml")
    (folder / "script.py").write_text(SCRIPT)
    return folder


def start(folder, name, *options, dies=False):
    script = [folder / "script.py", folder, folder / name, "dies" if dies else "lives"]
    return subprocess.Popen(
        [*TORCHRUN, *options, *map(str, script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "500"},
    )


@pytest.fixture(scope="module")
def one_node(folder):
    """What two processes on one node left and printed."""
    with start(folder, "one", "--standalone", "--nproc-per-node=2") as process:
        printed, complaints = process.communicate(timeout=200)
    assert process.returncode == 0, complaints[-3000:]
    return SimpleNamespace(path=folder / "one", printed=printed, complaints=complaints)


def test_two_processes_train_one_network(one_node):
    assert "2 x cpu" in one_node.printed
    assert one_node.printed.count("trained in") == 1
    ranks = [json.loads((one_node.path.parent / f"one{rank}.json").read_text()) for rank in (0, 1)]
    assert ranks[0] == ranks[1], "weights, average and statistics are the same in both"
    assert "Warning" not in one_node.complaints
    steps = [r["step"] for r in read_log(one_node.path / "log.jsonl") if "loss" in r]
    assert steps == [5, 10, 12]


def test_what_two_processes_print_one_measures_from_the_file(one_node, toy_dataset):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    words = ["evaluate", one_node.path / "last.pt", "--data", toy_dataset, "--device", "cpu"]
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    torch.set_num_threads(threads)
    assert result.exit_code == 0, result.output
    alone = json.loads(result.stdout)
    together = read_log(one_node.path / "log.jsonl")[-1]
    scores = {key: alone[key] for key in ("miou", "pixel_accuracy")}
    assert together == {"step": STEPS} | scores
    printed = one_node.printed.split(f"step {STEPS}/{STEPS}")[1].split("val mIoU")[1].split()[0]
    assert printed == f"{alone['miou']:.4f}"


def test_two_nodes_outlive_a_killed_process(folder, one_node, same_runs):
    """Two agents of torchrun meet over the loopback; process 1 is killed once, in step 8."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    options = ["--nnodes=2", "--nproc-per-node=1", "--max-restarts=3", "--rdzv-backend=c10d"]
    options += [f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=toy", "--local-addr=127.0.0.1"]
    with ExitStack() as stack:
        nodes = [stack.enter_context(start(folder, "two", *options, dies=True)) for _ in range(2)]
        printed, complaints = zip(*(node.communicate(timeout=200) for node in nodes), strict=True)
    assert [node.returncode for node in nodes] == [0, 0], complaints
    assert (folder / "died").exists()
    assert f"going on from {folder / 'two' / 'last.pt'}, step 6" in "".join(printed)
    assert "Traceback" not in "".join(complaints)
    same_runs(one_node.path, folder / "two")


def test_alone_nothing_changes(toy_config, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with join_processes(CPU) as processes:
        assert processes == Processes(0, 1, CPU)
        assert processes.is_main
        assert not dist.is_initialized()
        model = create_model(toy_config().model)
        assert share_network(model, processes) is model
        value = torch.tensor(0.1)
        assert mean_over_processes(value, processes) is value
        assert is_same_everywhere(3, processes)
        before = model.state_dict()
        average_statistics(local_statistics(model), processes)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("error", [None, ValueError])
def test_the_group_ends_with_the_run(monkeypatch, error):
    ended, store = [], dist.HashStore()
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "3"), ("MASTER_ADDR", "x")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setattr(distributed, "rendezvous", lambda *_, **__: iter([(store, 0, 1)]))
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **_: ended.append(backend))
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    monkeypatch.setattr(dist, "get_world_size", lambda: 3)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: ended.append("end"))

    def run():
        with join_processes(CPU) as processes:
            assert processes == Processes(1, 3, CPU)
            assert not processes.is_main
            if error:
                raise error

    if error:
        with pytest.raises(error):
            run()
    else:
        run()
    assert ended == ["gloo", "end"]


def test_a_new_start_sees_nothing_of_the_processes_before_it():
    """As after a restart by torchrun, which keeps the store; each start has its own latecomer."""
    shared, world = dist.HashStore(), 3

    def arrive(rank, late):
        if rank == late:
            time.sleep(0.2)
        store = fresh_store(shared, rank, world)
        addresses = [f"address/{other}" for other in range(world)]
        is_new = not store.check(addresses[rank : rank + 1])
        store.set(addresses[rank], f"{rank} when {late} is late")
        return is_new, [store.get(address).decode() for address in addresses]

    with ThreadPoolExecutor(world) as pool:
        for late in range(world):
            seen = list(pool.map(arrive, range(world), [late] * world))
            all_new = [f"{rank} when {late} is late" for rank in range(world)]
            assert seen == [(True, all_new)] * world


def test_a_process_that_died_in_the_middle_of_a_start_is_forgotten():
    shared = dist.HashStore()
    shared.set("eseg/arrived/1", "dead")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(fresh_store, shared, 0, 2)
        assert shared.get("eseg/start_of/dead"), "the first process may take it for the second"
        time.sleep(0.2)
        assert not first.done()
        second = pool.submit(fresh_store, shared, 1, 2)
        first.result(10).set("key", "value")
        assert second.result(10).get("key") == b"value"


def test_who_does_not_come_to_a_start_is_not_waited_for_for_ever():
    shared = dist.HashStore()
    for other in (1, 2):
        shared.set(f"eseg/arrived/{other}", "dead")
    with (
        pytest.raises(LostProcessError, match="of 3 processes 1 came within 0"),
        join_processes(CPU),
    ):
        fresh_store(shared, 0, 3, timedelta(seconds=0.1))


def test_a_device_that_processes_cannot_share_is_refused(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    with (
        pytest.raises(DeviceError, match=r"mps.*choose `device` cpu"),
        join_processes(torch.device("mps")),
    ):
        pass


@pytest.mark.parametrize(("device", "also"), [("cpu", ""), ("cuda", ", LOCAL_RANK")])
def test_half_of_the_variables_of_several_processes_is_refused(monkeypatch, device, also):
    for name in ("WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    message = f"RANK is set, but not MASTER_ADDR, MASTER_PORT{also}: .* torchrun"
    with pytest.raises(DeviceError, match=message), join_processes(torch.device(device)):
        pass


WITHOUT_DISTRIBUTED = """
import sys

class Builds:
    def find_spec(self, name, path=None, target=None):
        if name == "torch.distributed":
            for part in ("_c10d_init", "_rpc_init", "_dist_autograd_init"):
                vars(sys.modules["torch._C"]).pop(part, None)

sys.meta_path.insert(0, Builds())
import torch
from eseg.training.distributed import join_processes
from eseg.training.trainer import train

assert not torch.distributed.is_available()
try:
    with join_processes(torch.device("cpu")):
        raise RuntimeError("a bug")
except RuntimeError as error:
    print(error)
"""


def test_one_process_needs_no_torch_distributed():
    """As PyTorch is built for some small devices."""
    command = [sys.executable, "-c", WITHOUT_DISTRIBUTED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.stdout == "a bug\n", done.stderr[-2000:]


@pytest.fixture
def other_process(monkeypatch):
    """Stands in for a second process, which has these numbers."""

    def add(theirs):
        def all_reduce(ours, op=dist.ReduceOp.SUM):
            if op == dist.ReduceOp.MAX:
                ours.copy_(torch.maximum(ours, theirs))
            else:
                ours += theirs

        monkeypatch.setattr(dist, "all_reduce", all_reduce)
        return Processes(0, 2, CPU)

    return add


def test_means_are_those_of_all_processes(other_process):
    ours = torch.tensor([1.0, 4.0])
    processes = other_process(torch.tensor([3.0, 5.0]))
    assert mean_over_processes(ours, processes).tolist() == [2.0, 4.5]
    assert ours.tolist() == [1.0, 4.0]


@pytest.mark.parametrize(("theirs", "same"), [(5, True), (4, False), (6, False), (0, False)])
def test_differing_numbers_are_noticed(other_process, theirs, same):
    assert is_same_everywhere(5, other_process(torch.tensor([theirs, -theirs]))) is same


def test_statistics_of_all_batch_norms_are_averaged_in_place(other_process):
    model = nn.Sequential(nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm2d(3)), nn.Conv2d(3, 3, 1))
    statistics = local_statistics(model)
    assert [len(statistic) for statistic in statistics] == [2, 2, 3, 3]
    theirs = torch.arange(10.0)
    average_statistics(statistics, other_process(theirs))
    assert model[0].running_mean.tolist() == [0.0, 0.5]
    assert model[0].running_var.tolist() == [1.5, 2.0]
    assert model[1][0].running_mean.tolist() == [2.0, 2.5, 3.0]
    assert model[1][0].running_var.tolist() == [4.0, 4.5, 5.0]


BACKBONES = {"lite": {"width": 0.2, "depth": 0.3}, "tinynet_e": {}}
"""With plain batch norms, and with timm's that contain their activation."""


@pytest.mark.parametrize("backbone", BACKBONES)
def test_on_gpus_batch_norms_are_synchronised_and_nothing_else_changes(monkeypatch, backbone):
    wrapped = []

    def wrap(model, **options):
        wrapped.append(options)
        return model

    monkeypatch.setattr(distributed, "DistributedDataParallel", wrap)
    config = ModelConfig(backbone, channels=8, repeats=1, num_classes=3, **BACKBONES[backbone])
    model = create_model(config).eval()
    image = torch.rand(1, 3, 33, 47)
    with torch.no_grad():
        before = model(image)
    parameters, names = list(model.parameters()), list(model.state_dict())
    plain = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]

    assert share_network(model, Processes(0, 2, CPU)) is model
    assert [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)] == plain
    gpu = torch.device("cuda", 1)
    shared = share_network(model, Processes(0, 2, gpu))
    # Sent with the last part of a batch, they would replace what the other processes have seen.
    kept = distributed._OWN_BUFFERS
    assert list(kept.values()) == [False]
    assert wrapped == [{"device_ids": None} | kept, {"device_ids": [gpu]} | kept]
    synchronised = [part for part in shared.modules() if isinstance(part, nn.SyncBatchNorm)]
    assert len(synchronised) == len(plain) > 10
    assert not any(isinstance(part, nn.BatchNorm2d) for part in shared.modules())
    assert not local_statistics(shared.train())
    shared.eval()
    assert list(shared.state_dict()) == names
    assert all(ours is theirs for ours, theirs in zip(shared.parameters(), parameters, strict=True))
    with torch.no_grad():
        assert torch.equal(shared(image), before), "activations stay"


def test_the_last_checkpoint_holds_what_all_processes_have(one_node):
    last = load_checkpoint(one_node.path / "last.pt")
    digests = json.loads((one_node.path.parent / "one1.json").read_text())
    for weights, digest in zip((last.training["network"], last.weights), digests, strict=True):
        assert sum(v.double().abs().sum().item() for v in weights.values()) == digest


CLOSED = (
    "[/__w/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by peer "
    "[127.0.0.1]:5019. This is typically caused by a remote worker crashing."
)
KILLED = "DataLoader worker (pid 99) is killed by signal: Killed. \nIt is possible that ..."


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RuntimeError(CLOSED),
            r"another process .*Connection closed by peer \[127\.0\.0\.1\]:5019",
        ),
        (dist.DistBackendError("NCCL error\nin line 2"), r"another process .*NCCL error\)"),
        (dist.DistNetworkError("no route"), "another process .*no route"),
        (RuntimeError(KILLED), r"reads data .*killed by signal: Killed.*loader\.workers"),
    ],
)
def test_a_lost_process_is_one_clear_error(error, said):
    remedy = "The same command .eseg train: with `resume`. goes on"
    with pytest.raises(TrainingError, match=f"^.*{said}.*{remedy}") as caught, join_processes(CPU):
        raise error
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, LostProcessError) == ("another process" in str(caught.value))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes do not match"),
        RuntimeError(),
        CheckpointError(f"x.pt: cannot be written ({CLOSED})"),
        ValueError(CLOSED),
        KeyboardInterrupt(),
    ],
)
def test_every_other_error_passes_through(error):
    with pytest.raises(type(error)) as caught, join_processes(CPU):
        raise error
    assert caught.value is error
