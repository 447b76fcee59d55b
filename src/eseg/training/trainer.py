"""The training loop (section 4.1): plain steps, no callbacks."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from eseg.config import RunConfig, open_split
from eseg.data.dataset import DataError, SegmentationDataset
from eseg.data.loaders import make_eval_loader, make_train_loader
from eseg.devices import autocast_dtype, choose_device
from eseg.inference.evaluate import evaluate
from eseg.metrics import Scores, scores
from eseg.models import create_model
from eseg.training.distributed import (
    Processes,
    equalise_state,
    join_processes,
    mean_over_processes,
    share_network,
)
from eseg.training.progress import Meter, TrainProgress, peak_memory_mib
from eseg.training.run_folder import RunFolder
from eseg.training.state import BEST, TrainingState, find_resumable
from eseg.training.step import Stepper, images_per_part


@dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Attributes:
        checkpoint: File with the best weights on the validation split.
        best: Their scores, as `Scores.to_dict` gives them.
        last_miou: mIoU of the weights after the last step.
        images_per_second: Training throughput of this call, evaluation left out.
        seconds: Wall-clock time of this call.
    """

    checkpoint: Path
    best: dict[str, Any]
    last_miou: float
    images_per_second: float
    seconds: float


def train(
    config: RunConfig,
    output: str | Path,
    *,
    device: str | None = None,
    resume: bool = False,
    console: Console | None = None,
) -> TrainResult:
    """Train a network as a config says and leave everything about it in a folder.

    Under torchrun every process calls this; the first one prints and writes.

    Args:
        config: The run.
        output: Folder for `config.yaml`, `log.jsonl`, `best.pt`, `last.pt`, TensorBoard events,
            and at the end `curve.png`, `sheet.png` and `scores.json`.
        device: `cuda`, `mps`, `cpu`, or None for the best there is.
        resume: Go on from `last.pt` in that folder.
        console: Where to print; by default standard output.

    Raises:
        DataError: The data set is not as described, or the validation split has no labels.
        DeviceError: The device is not there.
        CheckpointError: The folder cannot be written, holds a run already, or cannot be resumed.
        TrainingError: The loss became NaN or infinite, or the batch cannot be shared out.
    """
    with join_processes(choose_device(device)) as processes:
        console = console or Console()
        console.quiet = console.quiet or not processes.is_main
        return _train(config, Path(output), processes, resume, console)


def _train(
    config: RunConfig, output: Path, processes: Processes, resume: bool, console: Console
) -> TrainResult:
    started = time.perf_counter()
    device = processes.device
    part = images_per_part(config, processes.world)
    train_set = open_split(config.data, config.data.train_split)
    val_set = open_split(config.data, config.data.val_split)
    classes = val_set.classes
    previous = find_resumable(output, config, classes, resume)

    torch.manual_seed(config.seed)
    # A resumed run has its weights already, and need not find the pretrained ones again.
    pretrained = config.init.pretrained_backbone if previous is None else False
    network = create_model(config.model, pretrained_backbone=pretrained)
    layout = torch.channels_last if config.train.channels_last else torch.contiguous_format
    network = network.to(device).to(memory_format=layout)
    dtype = autocast_dtype(config.train.precision, device)
    state = TrainingState.start(network, config, dtype)
    if previous is not None:
        state.restore(previous)
    stepper = Stepper(state, share_network(network, processes), config, processes, dtype)
    batches = iter(
        make_train_loader(
            train_set,
            config.augment,
            batch_size=part,
            seed=config.seed,
            rank=processes.rank,
            world=processes.world,
            start_step=state.step * config.train.accumulate,
            config=config.loader,
        )
    )

    folder = RunFolder(output, config, classes, step=state.step, active=processes.is_main)
    console.print(_headline(config, train_set, val_set, processes, dtype), highlight=False)
    meter = Meter()
    schedule = config.train
    last = None
    with closing(folder), TrainProgress(schedule.steps, state.step, device, console) as progress:
        while state.step < schedule.steps:
            loss, lr = stepper.step(batches)
            meter.add(loss, schedule.batch_size)
            progress.advance(loss, lr, meter.images_per_second)
            is_last = state.step == schedule.steps

            if state.step % schedule.log_every == 0 or is_last:
                loss, speed = meter.take()
                folder.log(
                    state.step,
                    loss=mean_over_processes(loss, processes),
                    lr=lr,
                    images_per_second=round(speed, 2),
                    memory_mib=round(peak_memory_mib(device)),
                )
            with meter.paused():
                evaluates = state.step % schedule.eval_every == 0 or is_last
                if evaluates:
                    last = _evaluate(state, val_set, config, processes, dtype)
                    folder.keep(state, last)
                    progress.evaluated(state, loss, last)
                if evaluates or state.step % schedule.checkpoint_every == 0:
                    folder.save(state)
        del batches  # ends the worker processes
        progress.stop()
        folder.report(val_set, str(device), console)

    result = TrainResult(
        checkpoint=output / BEST,
        best=state.best or {},
        last_miou=float("nan") if last is None else last.miou,
        images_per_second=meter.overall_images_per_second,
        seconds=time.perf_counter() - started,
    )
    console.print(
        f"trained in {result.seconds / 60:.1f} min ({result.images_per_second:.1f} images/s), "
        f"peak memory {peak_memory_mib(device):.0f} MiB, best weights {result.checkpoint}",
        highlight=False,
    )
    return result


def _evaluate(
    state: TrainingState,
    val_set: SegmentationDataset,
    config: RunConfig,
    processes: Processes,
    dtype: torch.dtype | None,
) -> Scores:
    """Scores of the averaged weights on the whole validation split, the same in every process."""
    equalise_state(state.average.model, processes)
    images = make_eval_loader(
        val_set, rank=processes.rank, world=processes.world, config=config.loader
    )
    matrix = evaluate(state.average.model, images, device=processes.device, dtype=dtype)
    matrix.all_reduce()
    if not matrix.matrix.any():
        raise DataError(
            f"split '{config.data.val_split}' has no labelled pixel to evaluate on; choose another "
            "data.val_split"
        )
    return scores(matrix.matrix)


def _headline(
    config: RunConfig,
    train_set: SegmentationDataset,
    val_set: SegmentationDataset,
    processes: Processes,
    dtype: torch.dtype | None,
) -> str:
    arithmetic = "fp32" if dtype is None else str(dtype).removeprefix("torch.")
    height, width = config.augment.crop
    return (
        f"{config.model.backbone} + {config.model.decoder}, {config.model.num_classes} classes, "
        f"{len(train_set)} train and {len(val_set)} val images; {config.train.steps} steps of "
        f"{config.train.batch_size} crops of {height}x{width} on {processes.world} x "
        f"{processes.device.type} in {arithmetic}"
    )
