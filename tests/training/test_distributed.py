"""Two processes under torchrun, once; and one process, which must notice nothing of it."""

import json
import os
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist

from eseg.checkpoint import load_checkpoint
from eseg.config import open_split, save_config
from eseg.data.loaders import make_eval_loader
from eseg.inference.evaluate import evaluate
from eseg.metrics import scores
from eseg.models import create_model
from eseg.training.distributed import (
    Processes,
    equalise_state,
    join_processes,
    mean_over_processes,
    share_network,
)
from eseg.training.loggers import read_log

CPU = torch.device("cpu")

SCRIPT = """
import json, os, sys
from pathlib import Path

from eseg.config import load_config
from eseg.training import trainer
from eseg.training.state import TrainingState

start, states = TrainingState.start, []


def remember(*arguments):
    states.append(start(*arguments))
    return states[-1]


def digest(model):
    return sum(value.double().abs().sum().item() for value in model.parameters())


TrainingState.start = remember
trainer.write_report = lambda *_: None
folder = Path(sys.argv[1])
result = trainer.train(load_config(folder / "config.yaml"), folder / "run", device="cpu")
report = {"miou": result.last_miou}
report |= {"trained": digest(states[0].network), "averaged": digest(states[0].average.model)}
(folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps(report))
"""


def test_two_processes_train_one_network(toy_config, tmp_path):
    config = toy_config({"train.steps": 4, "train.accumulate": 2, "train.eval_every": 2})
    save_config(config, tmp_path / "config.yaml")
    (tmp_path / "script.py").write_text(SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, str(tmp_path / "script.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 x cpu" in done.stdout
    assert done.stdout.count("trained in") == 1

    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert ranks[0] == ranks[1]

    # What two processes counted together, one counts alone from the file.
    last = load_checkpoint(tmp_path / "run" / "last.pt")
    images = make_eval_loader(open_split(config.data, "val"), config=config.loader)
    alone = scores(evaluate(last.build_model(), images, device=CPU).matrix)
    records = read_log(tmp_path / "run" / "log.jsonl")
    assert records[-1] == {
        "step": 4,
        "miou": alone.miou,
        "pixel_accuracy": alone.pixel_accuracy,
    }
    assert ranks[0]["miou"] == alone.miou
    assert [r["step"] for r in records if "loss" in r] == [1, 2, 3, 4]


def test_alone_nothing_changes(toy_config, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with join_processes(CPU) as processes:
        assert processes == Processes(0, 1, CPU)
        assert processes.is_main
        assert not dist.is_initialized()
        model = create_model(toy_config().model)
        assert share_network(model, processes) is model
        assert mean_over_processes(0.1, processes) == 0.1
        equalise_state(model, processes)


@pytest.mark.parametrize("error", [None, ValueError])
def test_the_group_ends_with_the_run(monkeypatch, error):
    ended = []
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(dist, "init_process_group", lambda backend: ended.append(backend))
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
