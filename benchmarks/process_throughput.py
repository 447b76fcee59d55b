"""Images per second that one and two processes train, one thread each.

    python benchmarks/process_throughput.py

The same `Stepper` as in `eseg train`, the same batch over all processes, gradients exchanged
through gloo. The images lie in memory: what is measured is computing and exchanging, not reading.
Counts of processes take turns, so that a busy machine is busy for all of them alike.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from eseg.config import RunConfig, parse_config
from eseg.data.samples import TrainBatch
from eseg.deploy.benchmark.environment import describe_environment
from eseg.devices import peak_memory_mib
from eseg.models import create_model
from eseg.training.distributed import join_processes, share_network
from eseg.training.state import TrainingState
from eseg.training.step import Stepper, images_per_part

OUTPUT = Path("benchmarks/results/process_throughput.json")
COUNTS = (1, 2)


def make_config(options: argparse.Namespace) -> RunConfig:
    """The run that is measured, the same for any number of processes."""
    return parse_config(
        {
            "model": {"preset": options.preset},
            "data": {"dataset": "streets"},
            "augment": {"crop": options.crop},
            "train": {
                "steps": options.warmup + options.steps,
                "batch_size": options.batch_size,
                "precision": "fp32",
            },
        }
    )


def measure(options: argparse.Namespace) -> None:
    """Train in this process, perhaps one of several; the first prints what was measured."""
    config = make_config(options)
    with join_processes(torch.device("cpu")) as processes:
        torch.manual_seed(config.seed)
        network = create_model(config.model).to(memory_format=torch.channels_last)
        state = TrainingState.start(network, config, None)
        stepper = Stepper(state, share_network(network, processes), config, processes, None)
        part, (height, width) = images_per_part(config, processes.world), config.augment.crop
        image = torch.randint(0, 256, (part, 3, height, width), dtype=torch.uint8)
        mask = torch.randint(0, config.model.num_classes, (part, height, width), dtype=torch.uint8)
        batches = repeat(TrainBatch(image, mask))
        for _ in range(options.warmup):
            stepper.step(batches)
        started = time.perf_counter()
        for _ in range(options.steps):
            stepper.step(batches)  # ends with an exchange: all processes have done it
        seconds = time.perf_counter() - started
        if processes.is_main:
            speed = options.steps * config.train.batch_size / seconds
            print(json.dumps({"speed": speed, "memory_mib": peak_memory_mib(processes.device)}))


def launch(count: int) -> dict[str, Any]:
    """Measure with so many processes."""
    command = [sys.executable]
    if count > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    done = subprocess.run(
        [*command, __file__, *sys.argv[1:], "--measure"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--preset", default="eseg_lite_s")
    parser.add_argument("--crop", nargs=2, type=int, default=(256, 512), metavar=("H", "W"))
    parser.add_argument("--batch-size", type=int, default=8, help="over all processes")
    parser.add_argument("--warmup", type=int, default=2, help="steps before measuring")
    parser.add_argument("--steps", type=int, default=10, help="steps measured")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions, of which the median")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options)
        return

    rounds = [{count: launch(count) for count in COUNTS} for _ in range(options.rounds)]
    results = {}
    table = Table("processes", "images/s", "MiB each", title=f"{options.preset}, one thread each")
    for count in COUNTS:
        speeds = [measured[count]["speed"] for measured in rounds]
        results[count] = {
            "images_per_second": round(statistics.median(speeds), 3),
            "all": [round(speed, 3) for speed in speeds],
            "peak_memory_mib_per_process": round(rounds[0][count]["memory_mib"]),
        }
        figures = results[count].values()
        table.add_row(
            str(count), *(str(figure) for figure in figures if not isinstance(figure, list))
        )
    one, several = (results[count]["images_per_second"] for count in COUNTS)
    Console().print(table, f"{several / one:.2f} times as fast")
    settings = {name: value for name, value in vars(options).items() if name != "output"}
    report = {
        "results": results,
        "times_as_fast": round(several / one, 3),
        "settings": settings,
        "environment": describe_environment(("eseg", "torch", "timm")),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
