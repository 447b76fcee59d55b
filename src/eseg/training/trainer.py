"""Training loop (section 4.1): plain steps, no callbacks."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from eseg.checkpoint import describe_network
from eseg.config import (
    InitConfig,
    RunConfig,
    load_config,
    open_pseudo_labelled,
    open_split,
    to_plain,
)
from eseg.data.dataset import SegmentationDataset
from eseg.data.loaders import make_eval_loader, make_train_loader
from eseg.data.samples import PseudoLabelled
from eseg.devices import autocast_dtype, choose_device, dtype_name, peak_memory_mib
from eseg.engines.torch_engine import TorchEngine
from eseg.errors import CheckpointError, ConfigError, DataError
from eseg.inference.evaluate import count_pixels
from eseg.metrics import Scores, scores
from eseg.models import create_model
from eseg.reports.reporter import SILENT, Reporter
from eseg.runtime.writing import sole_writer
from eseg.training.distributed import Processes, is_same_everywhere, join_processes, share_network
from eseg.training.initial_weights import load_initial_weights
from eseg.training.resuming import find_resumable, require_unused
from eseg.training.run_folder import BEST, RunFolder
from eseg.training.state import TrainingState
from eseg.training.step import Stepper, images_per_part
from eseg.training.throughput import ThroughputMeter


@dataclass(frozen=True, repr=False)
class TrainResult:
    """Outcome of a run.

    Attributes:
        checkpoint: File with the best weights on the validation split.
        best: Their scores, as from `Scores.to_dict`.
        last_miou: mIoU of the weights after the last step.
        images_per_second: Training throughput of this call, without evaluation.
        seconds: Wall-clock time of this call.
    """

    checkpoint: Path
    best: dict[str, Any]
    last_miou: float
    images_per_second: float
    seconds: float

    @property
    def miou(self) -> float:
        """Best mIoU on the validation split, in [0, 1]."""
        return self.best["miou"]

    def __repr__(self) -> str:
        return (
            f"TrainResult(checkpoint='{self.checkpoint}', miou={self.miou:.4f}, "
            f"images_per_second={self.images_per_second:.1f}, seconds={self.seconds:.0f})"
        )


def train(
    config: RunConfig | str | Path,
    output: str | Path,
    *,
    overrides: Iterable[str] = (),
    device: str | None = None,
    resume: bool = False,
    reporter: Reporter = SILENT,
) -> TrainResult:
    """Train a network and write everything about the run into a folder.

    Under torchrun every process calls this; the first one writes and reports.

    Args:
        config: The run, or the path of its YAML.
        output: Folder for `config.yaml`, `log.jsonl`, `best.pt`, `last.pt` and the one before it,
            `previous.pt`, TensorBoard events, and at the end `curve.png`, `sheet.png` and
            `scores.json`.
        overrides: Changes to the YAML: `section.key=value` each.
        device: `cuda`, `mps`, `cpu`, or None for the fastest.
        resume: If True, go on from the last checkpoint in the folder, if there is one.
        reporter: Receiver of lines, figures and tables while the run goes on.

    Raises:
        ConfigError: The YAML is wrong, or there are overrides without one.
        DataError: The data set is not as described, has other classes than the run to resume, or
            the validation split has no labels.
        DeviceError: The device does not exist.
        CheckpointError: The folder holds a run already, or cannot be resumed; or the checkpoint to
            start from does not fit.
        OutputError: The folder cannot be written, or another run is writing there.
        TrainingError: The loss became NaN or infinite, the batch cannot be divided evenly, or
            another process of the run was lost.
    """
    if not isinstance(config, RunConfig):
        config = load_config(config, overrides)
    elif any(overrides):
        raise ConfigError("`overrides` change the YAML of a run; give its path as `config`")
    with join_processes(choose_device(device)) as processes:
        part = images_per_part(config, processes.world)
        train_set = open_split(config.data, config.data.train_split)
        val_set = open_split(config.data, config.data.val_split)
        pseudo = open_pseudo_labelled(config.data, val_set.classes)
        data = _Data(train_set, val_set, pseudo)
        with sole_writer(Path(output)) if processes.is_main else nullcontext():
            reporter = reporter if processes.is_main else SILENT
            return _train(config, data, part, Path(output), processes, resume, reporter)


class _Data(NamedTuple):
    train: SegmentationDataset
    val: SegmentationDataset
    pseudo: PseudoLabelled | None


def _train(
    config: RunConfig,
    data: _Data,
    part: int,
    output: Path,
    processes: Processes,
    resume: bool,
    reporter: Reporter,
) -> TrainResult:
    """Train in a folder that nobody else writes, with `part` images per process at a time."""
    started = time.perf_counter()
    device = processes.device
    classes = data.val.classes
    previous = None
    if resume:
        previous = find_resumable(output, config, classes, reporter)
    else:
        require_unused(output)
    resumed_at = None if previous is None else previous.step
    if not is_same_everywhere(resumed_at or 0, processes):
        raise CheckpointError(
            f"{output}: the processes do not find the same checkpoint there; all machines of the "
            "run have to see the same folder"
        )

    torch.manual_seed(config.seed)
    # A resumed run has its weights already; the files it started from may be gone.
    init = config.init if previous is None else InitConfig()
    network = create_model(config.model, pretrained_backbone=init.pretrained_backbone)
    initial = None
    if init.checkpoint is not None:
        initial = load_initial_weights(network, init.checkpoint, classes)
        reporter.say(str(initial))
    network = network.to(device).to(memory_format=_layout(config))
    dtype = autocast_dtype(config.train.precision, device)
    state = TrainingState.start(network, config, dtype)
    if previous is not None:
        state.restore(previous)
    del previous  # three times the size of the network

    stepper = Stepper(state, share_network(network, processes), config, processes, dtype)
    batches = iter(
        make_train_loader(
            data.train,
            config.augment,
            batch_size=part,
            seed=config.seed,
            pseudo=data.pseudo,
            resize=config.data.resize,
            rank=processes.rank,
            world=processes.world,
            start_step=state.step * config.train.accumulate,
            config=config.loader,
        )
    )

    folder = RunFolder(output, config, classes, step=resumed_at, active=processes.is_main)
    reporter.say(_headline(config, data, processes, dtype))
    meter = ThroughputMeter()
    schedule = config.train
    last = None
    with closing(folder):
        if initial is not None:
            folder.log(0, init=to_plain(initial))
        if resumed_at is None:
            folder.save(state)  # shows at once whether there is room for checkpoints
        with reporter.training(schedule.steps, state.step) as progress:
            while state.step < schedule.steps:
                loss, lr = stepper.step(batches)
                meter.add(schedule.batch_size)
                progress.advance(loss, lr, meter.images_per_second, peak_memory_mib(device))
                is_last = state.step == schedule.steps

                if state.step % schedule.log_every == 0 or is_last:
                    loss = state.loss.take()
                    folder.log(
                        state.step,
                        loss=loss,
                        lr=lr,
                        images_per_second=round(meter.take(), 2),
                        memory_mib=round(peak_memory_mib(device)),
                    )
                with meter.paused():
                    evaluates = state.step % schedule.eval_every == 0 or is_last
                    if evaluates:
                        last = _evaluate(state, data.val, config, processes, dtype)
                        best = folder.keep_best(state, last)
                        folder.log(state.step, miou=last.miou, pixel_accuracy=last.pixel_accuracy)
                        progress.evaluated(state.step, loss, last.miou, last.pixel_accuracy, best)
                    if evaluates or state.step % schedule.checkpoint_every == 0:
                        folder.save(state)
            if state.best is None:  # no step is left, but the best weights are missing
                last = _evaluate(state, data.val, config, processes, dtype)
                folder.keep_best(state, last)
                folder.save(state)
            del batches  # ends the worker processes
        folder.report(data.val, str(device), reporter)

    result = TrainResult(
        checkpoint=output / BEST,
        best=state.best or {},
        last_miou=float("nan") if last is None else last.miou,
        images_per_second=meter.overall_images_per_second,
        seconds=time.perf_counter() - started,
    )
    ending = (
        f"trained in {result.seconds / 60:.1f} min ({result.images_per_second:.1f} images/s), "
        f"peak memory {peak_memory_mib(device):.0f} MiB"
    )
    if resumed_at == schedule.steps:
        ending = f"nothing left to train: all {schedule.steps} steps were done before"
    reporter.say(f"{ending}, best weights {result.checkpoint}")
    return result


def _layout(config: RunConfig) -> torch.memory_format:
    return torch.channels_last if config.train.channels_last else torch.contiguous_format


def _evaluate(
    state: TrainingState,
    val_set: SegmentationDataset,
    config: RunConfig,
    processes: Processes,
    dtype: torch.dtype | None,
) -> Scores:
    """Score the averaged weights on the validation split, with the same result in all processes."""
    images = make_eval_loader(
        val_set, rank=processes.rank, world=processes.world, config=config.loader
    )
    # In the layout of a network just loaded: any other rounds differently, and the scores would
    # not be exactly those of the file. Updates are quicker in the layout of the trained network.
    model = state.average.model.to(memory_format=torch.contiguous_format)
    info = describe_network(config.model, val_set.classes, state.step, resize=config.data.resize)
    engine = TorchEngine(model, info, device=processes.device, dtype=dtype)
    matrix = count_pixels(engine, images)
    model.to(memory_format=_layout(config))
    matrix.all_reduce()
    if not matrix.matrix.any():
        raise DataError(
            f"split '{config.data.val_split}' has no labelled pixel to evaluate on; choose another "
            "data.val_split"
        )
    return scores(matrix.matrix, absent_counts=val_set.absent_counts)


def _headline(
    config: RunConfig, data: _Data, processes: Processes, dtype: torch.dtype | None
) -> str:
    height, width = config.augment.crop
    images = f"{len(data.train)} train"
    if data.pseudo is not None:
        images += f", {len(data.pseudo.dataset)} pseudo-labelled "
        images += f"({data.pseudo.fraction:.0%} of every batch)"
    return (
        f"{config.model.backbone} + {config.model.decoder}, {config.model.num_classes} classes, "
        f"{images} and {len(data.val)} val images; {config.train.steps} steps of "
        f"{config.train.batch_size} crops of {height}x{width} on {processes.world} x "
        f"{processes.device.type} in {dtype_name(dtype)}"
    )
