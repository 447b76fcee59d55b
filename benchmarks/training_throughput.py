"""Images per second of training, and where the time goes.

    python benchmarks/training_throughput.py
    python benchmarks/training_throughput.py --dataset configs/camvid/dataset.yaml --device cuda

Every preset trains from random weights in a process of its own, by the same `Stepper` that
`eseg train` uses. The parts of a step are told apart by hooks on the network, its logits and the
optimiser; on a GPU every hook waits for the device, which costs a few per cent.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from eseg.config import STREETS, RunConfig, open_split, parse_config
from eseg.data.loaders import automatic_workers, make_train_loader
from eseg.data.samples import TrainBatch
from eseg.deploy.benchmark.environment import describe_environment
from eseg.devices import autocast_dtype, choose_device, dtype_name, peak_memory_mib
from eseg.models import create_model
from eseg.training.distributed import Processes
from eseg.training.state import TrainingState
from eseg.training.step import Stepper

OUTPUT = Path("benchmarks/results/training_throughput.json")
PARTS = {
    "data": "waiting for a batch",
    "forward": "network, forward",
    "loss": "loss, forward and backward",
    "backward": "network, backward",
    "optimizer": "optimiser and weight average",
    "rest": "to the device, to float, and the like",
}


class Stopwatch:
    """Seconds by part of a training step; what no part claims is the `rest`."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._device = next(network.parameters()).device
        self._last = self._now()
        network.register_forward_pre_hook(lambda *_: self.claim("rest"))
        network.register_forward_hook(self._after_forward)
        optimizer.register_step_pre_hook(lambda *_: self.claim("backward"))

    def reset(self) -> None:
        """Begin anew."""
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._last = self._now()

    def claim(self, part: str) -> None:
        """Count the time since the last call for a part."""
        now = self._now()
        self.seconds[part] += now - self._last
        self._last = now

    def watch(self, batches: Iterator[TrainBatch]) -> Iterator[TrainBatch]:
        """The same batches, the time until each of them being counted as `data`."""
        while True:
            self.claim("rest")
            batch = next(batches)
            self.claim("data")
            yield batch

    def _after_forward(self, _module: nn.Module, _inputs: Any, logits: Tensor) -> None:
        self.claim("forward")
        # Called once the gradient at the logits is known: the loss is done, the network's begins.
        logits.register_hook(lambda _: self.claim("loss"))

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def make_config(preset: str, options: argparse.Namespace) -> RunConfig:
    """The run that is measured."""
    dataset = options.dataset
    return parse_config(
        {
            "model": {"preset": preset},
            "data": {"dataset": dataset if dataset == STREETS else str(Path(dataset).resolve())},
            "augment": {"crop": options.crop},
            "train": {
                "steps": options.warmup + options.steps,
                "batch_size": options.batch_size,
                "precision": options.precision,
            },
            "loader": {"workers": options.workers},
        }
    )


def measure(preset: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train for some steps and report images per second, shares of the time and memory."""
    config = make_config(preset, options)
    device = choose_device(options.device)
    dtype = autocast_dtype(config.train.precision, device)
    torch.manual_seed(config.seed)
    network = create_model(config.model)
    network.to(device).to(memory_format=torch.channels_last)
    state = TrainingState.start(network, config, dtype)
    stepper = Stepper(state, network, config, Processes(0, 1, device), dtype)
    stopwatch = Stopwatch(network, state.optimizer)
    loader = make_train_loader(
        open_split(config.data, config.data.train_split),
        config.augment,
        batch_size=config.train.batch_size,
        seed=config.seed,
        config=config.loader,
    )
    batches = stopwatch.watch(iter(loader))
    for step in range(config.train.steps):
        if step == options.warmup:
            stopwatch.reset()
        stepper.step(batches)
        stopwatch.claim("optimizer")
    total = sum(stopwatch.seconds.values())
    return {
        "images_per_second": round(options.steps * config.train.batch_size / total, 3),
        "seconds_per_step": round(total / options.steps, 4),
        "shares": {part: round(stopwatch.seconds[part] / total, 4) for part in PARTS},
        "peak_memory_mib": round(peak_memory_mib(device)),
        "precision": dtype_name(dtype),
        "device": str(device),
        "threads": torch.get_num_threads(),
    }


def print_table(results: dict[str, Any], options: argparse.Namespace) -> None:
    """Show the results, one column per preset."""
    height, width = options.crop
    table = Table(title=f"Training, {options.batch_size} crops of {height}x{width} per step")
    table.add_column("")
    for preset in results:
        table.add_column(preset, justify="right")
    columns = results.values()
    table.add_row("images/s", *(f"{x['images_per_second']:.2f}" for x in columns))
    table.add_row("s per step", *(f"{x['seconds_per_step']:.3f}" for x in columns))
    table.add_row("peak memory, MiB", *(str(x["peak_memory_mib"]) for x in columns))
    table.add_section()
    for part, description in PARTS.items():
        table.add_row(description, *(f"{x['shares'][part]:.1%}" for x in columns))
    Console().print(table)


def main() -> None:
    """Measure the presets one after the other, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--presets", nargs="+", default=["eseg_lite_s", "eseg_s"])
    parser.add_argument("--dataset", default=STREETS, help="path of a data set's YAML, or streets")
    parser.add_argument("--crop", nargs=2, type=int, default=(256, 512), metavar=("H", "W"))
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=3, help="steps before measuring")
    parser.add_argument("--steps", type=int, default=12, help="steps measured")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
    parser.add_argument("--device", help="cuda, mps or cpu; by default the best there is")
    parser.add_argument("--workers", type=int, default=automatic_workers())
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()

    results = {}
    for preset in options.presets:
        # Memory is counted per process, so each preset has its own.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as process:
            results[preset] = process.submit(measure, preset, options).result()
    print_table(results, options)
    settings = {name: value for name, value in vars(options).items() if name != "output"}
    packages = ("eseg", "numpy", "pillow", "timm", "torch")
    report = {
        "results": results,
        "settings": settings,
        "environment": describe_environment(packages),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
