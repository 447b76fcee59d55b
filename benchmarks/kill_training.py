"""Kill training 20 times, resume it each time, and compare the end with a run that nobody killed.

    python benchmarks/kill_training.py

Every kill is a SIGKILL of a real `eseg train --resume`, timed from outside by what the run leaves
on disk: some at a random time, some as soon as a checkpoint's unfinished file appears, some as soon
as a log line says that an evaluation is due, one in the report at the end. Where a kill has hit is
read from what is left afterwards. The run reads its data with a worker process. What is compared
are SHA-256 sums of weights, momentum, average and the rest of the state, of the log without its
timings, and of what TensorBoard shows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.table import Table
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from eseg.checkpoint import load_checkpoint
from eseg.deploy.benchmark.environment import describe_environment
from eseg.training.run_folder import read_log

OUTPUT = Path("benchmarks/results/kill_training.json")
AIMS = ["writing"] * 7 + ["evaluating"] * 4 + ["any time"] * 8
"""In this number, in random order, and at last one in the report."""
NEEDED = {"writing": 5, "evaluating": 2}
TIMINGS = ("images_per_second", "memory_mib")
EVAL_EVERY = 15


@dataclass(frozen=True)
class Kill:
    """One killed process.

    Attributes:
        aim: What the kill was timed by.
        hit: What the process was doing, as far as the files tell.
        seconds: From the start of the process to its end.
        step: Steps in the checkpoint that the next process goes on from, if there is one.
    """

    aim: str
    hit: str
    seconds: float
    step: int | None


def make_config(steps: int) -> dict[str, Any]:
    """The run: a Lite-S, so that writing takes a while, on small procedural scenes."""
    return {
        "model": {"preset": "eseg_lite_s"},
        "data": {
            "dataset": "streets",
            "streets": {"size": [64, 128], "train_length": 50, "val_length": 30},
        },
        "augment": {"crop": [64, 96], "scale": [0.8, 1.25], "brightness": 0.3},
        "train": {
            "steps": steps,
            "batch_size": 4,
            "accumulate": 2,
            "precision": "fp32",
            "ema_decay": 0.9,
            "log_every": 4,
            "checkpoint_every": 5,
            "eval_every": EVAL_EVERY,
        },
        "optim": {"lr": 0.05, "warmup_steps": 5},
        "loader": {"workers": 1},
    }


class Run:
    """A run in a folder, as a process that can be killed.

    Args:
        config: Its YAML.
        folder: Its output folder.
        steps: Its length.
    """

    def __init__(self, config: Path, folder: Path, steps: int) -> None:
        self.folder = folder
        self.steps = steps
        command = [sys.executable, "-m", "eseg", "train", str(config), "--output", str(folder)]
        self._command = [*command, "--resume", "--device", "cpu"]

    def start(self) -> subprocess.Popen[str]:
        """Start the process, or go on with the run."""
        return subprocess.Popen(
            self._command,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self) -> float:
        """Let it run to its end; returns the seconds until the first log line was there."""
        started, first = time.monotonic(), 0.0
        with self.start() as process:
            while process.poll() is None:
                if not first and self.log_lines():
                    first = time.monotonic() - started
                time.sleep(0.02)
            if process.returncode:
                raise SystemExit(f"the run failed:\n{process.communicate()[0]}")
        return first

    def log_lines(self) -> int:
        """Lines in the log."""
        path = self.folder / "log.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def unfinished(self) -> set[str]:
        """Names of checkpoints that are being written."""
        if not self.folder.exists():
            return set()
        names = {file.name for file in self.folder.iterdir()}
        return {name for name in names if name.startswith((".last.pt.", ".best.pt."))}

    def is_evaluating(self) -> bool:
        """Whether the log says that an evaluation is under way."""
        records = read_log(self.folder / "log.jsonl")
        last = records[-1] if records else {"step": 0}
        due = last["step"] % EVAL_EVERY == 0 or last["step"] == self.steps
        return "loss" in last and due

    def is_reporting(self) -> bool:
        """Whether the report at the end has begun and not ended."""
        return (self.folder / "scores.json").exists() and not (self.folder / "sheet.png").exists()

    def saved_step(self) -> int | None:
        """Steps in the checkpoint that the run goes on from."""
        for name in ("last.pt", "previous.pt"):
            if (self.folder / name).exists():
                return load_checkpoint(self.folder / name).step
        return None

    def kill(self, aim: str, chance: random.Random, start_seconds: float) -> Kill:
        """Start the process, kill it when its time has come, and find out what it was doing."""
        begun, lines = time.monotonic(), self.log_lines()
        old = self.unfinished()
        due = self._aim(aim, chance, start_seconds, old)
        with self.start() as process:
            while not due() and process.poll() is None:
                time.sleep(0.0005)
            if process.poll() is not None:
                raise SystemExit(f"the run ended before all kills:\n{process.communicate()[0]}")
            process.send_signal(signal.SIGKILL)
        seconds = round(time.monotonic() - begun, 2)
        if self.unfinished() - old:
            hit = "writing"
        elif self.is_reporting():
            hit = "reporting"
        elif self.log_lines() != lines and self.is_evaluating():
            hit = "evaluating"
        else:
            hit = "training" if self.log_lines() > lines else "starting or training"
        return Kill(aim, hit, seconds, self.saved_step())

    def _aim(
        self, aim: str, chance: random.Random, start_seconds: float, old: set[str]
    ) -> Callable[[], bool]:
        """When to kill, asked again and again."""
        begun, lines = time.monotonic(), self.log_lines()
        if aim == "any time":
            end = begun + chance.uniform(0, 2 * start_seconds)
            return lambda: time.monotonic() > end
        if aim == "reporting":
            return self.is_reporting
        if aim == "evaluating":
            return lambda: self.log_lines() != lines and self.is_evaluating()
        seen: set[str] = set()
        wanted, delay = chance.randint(1, 3), chance.uniform(0, 0.03)
        before: set[str] = set()

        def is_writing() -> bool:
            nonlocal before
            now = self.unfinished() - old
            if now - before:
                seen.add(f"{len(seen)}")
            before = now
            if now and len(seen) == wanted:
                time.sleep(delay)
                return bool(self.unfinished() - old)
            return False

        return is_writing


def fingerprints(folder: Path) -> dict[str, str]:
    """SHA-256 of everything that a run came to, by what it is."""
    last, best = load_checkpoint(folder / "last.pt"), load_checkpoint(folder / "best.pt")
    training = dict(last.training)
    log = read_log(folder / "log.jsonl")
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    shown = {
        key: [(event.step, event.value) for event in events.Scalars(key)]
        for key in ("loss", "lr", "miou", "pixel_accuracy")
    }
    parts = {
        "weights": training.pop("network"),
        "momentum": training.pop("optimizer"),
        "average": last.weights,
        "rest of the state": training | {"step": last.step},
        "best weights and scores": [best.weights, best.scores, best.step],
        "log": [{k: v for k, v in r.items() if k not in TIMINGS} for r in log],
        "TensorBoard": shown,
    }
    return {name: fingerprint(part) for name, part in parts.items()}


def fingerprint(value: Any) -> str:
    """SHA-256 of nested dicts, lists, numbers and tensors."""
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.contiguous().numpy().tobytes())
        elif isinstance(value, dict):
            for key in sorted(value, key=str):
                digest.update(f"{key}:".encode())
                add(value[key])
        elif isinstance(value, list | tuple):
            for item in value:
                add(item)
        else:
            digest.update(f"{value!r};".encode())

    add(value)
    return digest.hexdigest()


def main() -> None:
    """Run, kill, compare, and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0, help="of the times of the kills")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    environment = describe_environment(("eseg", "torch", "numpy"))
    console, chance = Console(), random.Random(options.seed)
    aims = [*chance.sample(AIMS, len(AIMS)), "reporting"]
    started = time.monotonic()

    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "run.yaml"
        config.write_text(yaml.safe_dump(make_config(options.steps)))
        whole = Run(config, Path(scratch) / "whole", options.steps)
        start_seconds = whole.finish()
        console.print(f"uninterrupted: {time.monotonic() - started:.0f} s")
        killed = Run(config, Path(scratch) / "killed", options.steps)
        kills = []
        for aim in aims:
            kills.append(killed.kill(aim, chance, start_seconds))
            console.print(f"{len(kills)}: {kills[-1]}", highlight=False)
        killed.finish()
        sums = {"uninterrupted": fingerprints(whole.folder), "killed": fingerprints(killed.folder)}

    hits = Counter(kill.hit for kill in kills)
    table = Table("", "uninterrupted", f"killed {len(kills)} times")
    for name, value in sums["uninterrupted"].items():
        table.add_row(name, value[:16], sums["killed"][name][:16])
    console.print(table, dict(hits))
    report = {
        "identical": sums["uninterrupted"] == sums["killed"],
        "hits": dict(hits),
        "kills": [asdict(kill) for kill in kills],
        "sha256": sums,
        "seconds": round(time.monotonic() - started),
        "settings": {"steps": options.steps, "seed": options.seed},
        "environment": environment,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    if not report["identical"]:
        raise SystemExit("the killed run came to something else")
    if any(hits[hit] < count for hit, count in NEEDED.items()):
        raise SystemExit(f"too few kills hit what they aimed at ({dict(hits)}); another --seed")


if __name__ == "__main__":
    main()
