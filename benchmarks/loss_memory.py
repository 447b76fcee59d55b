"""Memory and time of the training loss: in strips, and in the plain form.

    python benchmarks/loss_memory.py
    python benchmarks/loss_memory.py --cases camvid --device cuda

The plain form upsamples all logits and leaves the gradient to autograd; `eseg train` uses the form
in strips. Both get the same random logits, at an eighth of the mask's size, and each works in a
process of its own, where its peak memory beyond the inputs is taken: what is resident on a CPU
(which needs Linux), what is allocated on a GPU. They take turns, round by round, so that both meet
the same machine. Where the gradients differ by more than rounding, a pixel beside OHEM's threshold
counts in one form only.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from eseg.deploy.benchmark.environment import describe_environment
from eseg.devices import choose_device
from eseg.losses.ohem import ohem_cross_entropy, pixel_weights
from eseg.runtime.class_table import IGNORE_INDEX

OUTPUT = Path("benchmarks/results/loss_memory.json")
STRIDE = 8


@dataclass(frozen=True)
class Case:
    """A batch: its number of classes, the images in it and their size in pixels."""

    classes: int
    height: int
    width: int
    images: int


CASES = {
    "ade20k": Case(150, 520, 520, 16),
    "cityscapes": Case(19, 512, 1024, 16),
    "camvid": Case(11, 288, 384, 8),
}


def plain(logits: Tensor, mask: Tensor) -> Tensor:
    """The loss by upsampling everything at once."""
    size = mask.shape[1:]
    upsampled = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    target = mask.long()
    loss = F.cross_entropy(upsampled, target, ignore_index=IGNORE_INDEX, reduction="none")
    valid = target != IGNORE_INDEX
    counted = pixel_weights(loss.detach(), target, valid, 0.7, 1 / 16, None)
    return (loss * counted).sum() / counted.sum()


FORMS = {"plain": plain, "strips": ohem_cross_entropy}


class Worker:
    """One form of the loss on one batch, in this process."""

    def __init__(self, form: str, case: Case, device: torch.device, threads: int) -> None:
        torch.set_num_threads(threads)
        self.loss = FORMS[form]
        self.device = device
        self.logits, self.mask = make_batch(Case(3, 64, 64, 1), device)
        self.run()  # Loads what torch loads late, outside the memory and time that are measured.
        self.logits, self.mask = make_batch(case, device)
        self.before = self.peak_mib(reset=True)

    def run(self) -> float:
        """Go forward and backward once; return the seconds it took."""
        self.logits.grad = None
        self.synchronize()
        start = time.perf_counter()
        self.value = self.loss(self.logits, self.mask)
        self.value.backward()
        self.synchronize()
        return time.perf_counter() - start

    def synchronize(self) -> None:
        """Wait until a GPU has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def peak_mib(self, *, reset: bool = False) -> float:
        """The most memory since the last reset, or what is in use if that is now."""
        if self.device.type == "cuda":
            if reset:
                torch.cuda.reset_peak_memory_stats(self.device)
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        # Not getrusage: its peak cannot be reset, and starts with that of the parent process.
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 2**10

    def result(self) -> tuple[float, Tensor, float]:
        """Value and gradient of the last run, and the most memory of all runs in MiB."""
        assert self.logits.grad is not None
        return self.value.item(), self.logits.grad.cpu(), self.peak_mib() - self.before


def make_batch(case: Case, device: torch.device) -> tuple[Tensor, Tensor]:
    """Random logits and a mask that they are right about for half of the pixels."""
    generator = torch.Generator().manual_seed(0)
    small = (-(-case.height // STRIDE), -(-case.width // STRIDE))
    logits = 4 * torch.randn(case.images, case.classes, *small, generator=generator)
    mask = logits.argmax(1, keepdim=True).float()
    mask = F.interpolate(mask, size=(case.height, case.width)).squeeze(1).to(torch.uint8)
    chance = torch.rand(mask.shape, generator=generator)
    noise = torch.randint(case.classes, mask.shape, generator=generator, dtype=torch.uint8)
    mask = mask.where(chance < 0.5, noise)
    mask[chance > 0.95] = IGNORE_INDEX
    logits = logits.to(device).contiguous(memory_format=torch.channels_last)
    return logits.requires_grad_(), mask.to(device)


worker: Worker
"""What a process of a pool works on."""


def start(*arguments: Any) -> None:
    """Prepare a process of a pool."""
    global worker
    worker = Worker(*arguments)


def run() -> float:
    """Let the process's worker run once."""
    return worker.run()


def result() -> tuple[float, Tensor, float]:
    """Ask the process's worker what came of it."""
    return worker.result()


def compare(case: Case, device: torch.device, threads: int, rounds: int) -> dict[str, Any]:
    """Let both forms take turns on a batch."""
    context = multiprocessing.get_context("spawn")
    pools = {
        form: ProcessPoolExecutor(1, context, start, (form, case, device, threads))
        for form in FORMS
    }
    seconds: dict[str, list[float]] = {form: [] for form in FORMS}
    for number in range(1 + rounds):
        for form, pool in pools.items():
            taken = pool.submit(run).result()
            if number:  # The first round is the warm-up.
                seconds[form].append(round(taken, 5))
    results = {form: pool.submit(result).result() for form, pool in pools.items()}
    for pool in pools.values():
        pool.shutdown()

    (value, gradient, plain_mib), (strips_value, strips_gradient, strips_mib) = (
        results[form] for form in FORMS
    )
    medians = {form: statistics.median(seconds[form]) for form in FORMS}
    difference = (strips_gradient - gradient).norm() / gradient.norm()
    return {
        "case": asdict(case),
        "seconds": medians,
        "all_seconds": seconds,
        "memory_mib": {"plain": round(plain_mib, 1), "strips": round(strips_mib, 1)},
        "time_ratio": round(medians["strips"] / medians["plain"], 4),
        "memory_ratio": round(strips_mib / plain_mib, 4),
        "value": {"plain": value, "strips": strips_value},
        "relative_difference": {
            "value": abs(strips_value - value) / value,
            "gradient": difference.item(),
        },
    }


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """Show the results, one row per case."""
    table = Table(title="The loss in strips beside the plain form, forward and backward")
    for column in ("", "plain, s", "strips, s", "plain, MiB", "strips, MiB", "differ by"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, measured in results.items():
        seconds, memory = measured["seconds"], measured["memory_mib"]
        table.add_row(
            name,
            f"{seconds['plain']:.3f}",
            f"{seconds['strips']:.3f} ({measured['time_ratio']:.0%})",
            f"{memory['plain']:.0f}",
            f"{memory['strips']:.0f} ({measured['memory_ratio']:.0%})",
            f"{max(measured['relative_difference'].values()):.0e}",
        )
    Console().print(table)


def main() -> None:
    """Measure the cases one after the other, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds of each form")
    parser.add_argument("--device", help="cuda, mps or cpu; by default the best there is")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()

    device = choose_device(options.device)
    results = {
        name: compare(CASES[name], device, options.threads, options.rounds)
        for name in options.cases
    }
    print_table(results)
    report = {
        "results": results,
        "settings": {
            "device": str(device),
            "threads": options.threads,
            "rounds": options.rounds,
            "stride": STRIDE,
        },
        "environment": describe_environment(),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
