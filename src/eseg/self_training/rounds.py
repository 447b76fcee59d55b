"""Self-training: a teacher labels more images, and a student learns from both (section 4.4)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist
from rich.console import Console

from eseg.checkpoint import load_checkpoint, weights_digest
from eseg.config import RunConfig, to_plain
from eseg.devices import choose_device
from eseg.errors import CheckpointError, DataError
from eseg.inference.evaluate import evaluate_checkpoint
from eseg.self_training.plan import SelfTraining, require_feasible
from eseg.self_training.pseudo_label import pseudo_label
from eseg.self_training.rounds_report import Round, Trained, write_report
from eseg.training.distributed import Processes, join_processes
from eseg.training.failures import clear_failures
from eseg.training.run_folder import BEST, LAST, PREVIOUS
from eseg.training.run_settings import is_begun, write_settings
from eseg.training.trainer import train

_SETTINGS, _FINISHED = "settings.json", "finished.json"
_NO_SAY = {"data": ("dataset", "root"), "train": ("checkpoint_every", "log_every")}
"""Keys of a run that may change when it is finished: where things lie, and what has no say in the
weights."""


def self_train(
    plan: SelfTraining,
    output: Path,
    *,
    device: str | None = None,
    console: Console | None = None,
) -> Path:
    """Train a teacher, let it label images, train a student, and report what that brought.

    Called again after an interruption, it goes on where it was; what is finished stays. Under
    torchrun every process calls this.

    Args:
        plan: What to do.
        output: Folder for `round1/teacher`, `round1/pseudo_labels` and `round1/student`, the same
            for further rounds without a teacher, `report.md` and `report.json`.
        device: `cuda`, `mps`, `cpu`, or None for the best there is.
        console: Where to print; by default standard output.

    Returns:
        The last student's checkpoint.

    Raises:
        BackboneError: Students are to start from weights of the backbone that cannot be had.
        CheckpointError: A checkpoint cannot be read or does not fit, or the folder holds a run of
            another command, or the disk is full.
        ConfigError: Teacher and student are for different classes or are measured on different
            images, there is to be no round, there is no such start for students, or the folder is
            a file.
        DataError: The data or the images are not as described, a threshold cannot be meant, or a
            stage was made with other settings.
        DeviceError: The device is not there.
        OutputError: The folder of a stage cannot be written, or another process is writing there.
        TrainingError: A training failed, or another process was lost.
    """
    with clear_failures(), join_processes(choose_device(device)) as processes:
        console = console or Console()
        console.quiet = console.quiet or not processes.is_main
        _require_no_run(output)
        require_feasible(plan, output, processes.world)
        stages = _Stages(plan, output, processes, console)
        first = teacher = plan.given_teacher or stages.train_teacher()
        rounds = []
        for number in range(1, plan.rounds + 1):
            rounds.append(stages.run_round(number, teacher))
            teacher = rounds[-1].student.checkpoint
        if processes.is_main:
            stages.report(first, rounds)
    return teacher


class _Stages:
    """The stages of self-training; each is done once, however often it is asked for."""

    def __init__(
        self, plan: SelfTraining, output: Path, processes: Processes, console: Console
    ) -> None:
        self.plan = plan
        self.output = output
        self.processes = processes
        self.console = console

    def train_teacher(self) -> Path:
        """The first teacher's checkpoint."""
        config = self.plan.teacher_run
        return self._train(config, self.output / "round1" / "teacher", _settings(config))

    def run_round(self, number: int, teacher: Path) -> Round:
        """Pseudo-labels, and a student that learns from them."""
        folder = self.output / f"round{number}"
        self._say(f"{folder / 'pseudo_labels'}: labels of {teacher}")
        labels = pseudo_label(
            load_checkpoint(teacher),
            self.plan.unlabelled,
            folder / "pseudo_labels",
            self.plan.labels,
            device=self.processes.device,
            console=self.console,
        )
        for error in labels.skipped.values():
            self._say(f"skipped: {error}")
        self.console.print(labels.table())
        config = self.plan.student_of(teacher, labels.dataset)
        settings = _settings(config) | {"pseudo_labels": labels.fingerprint}
        student = self._train(config, folder / "student", settings)
        return Round(labels, Trained.of_run(student))

    def report(self, teacher: Path, rounds: Sequence[Round]) -> None:
        """Write what came out of it; a given first teacher is measured for that."""
        if self.plan.given_teacher is None:
            first = Trained.of_run(teacher)
        else:
            first = self._measured(teacher)
        try:
            path = write_report(self.output, first, rounds)
        except OSError as error:
            raise DataError(f"{self.output}: cannot be written ({error}); make room") from error
        self._say(f"report {path}")

    def _measured(self, checkpoint: Path) -> Trained:
        """A network with its scores on the validation split, measured once."""
        loaded, data = load_checkpoint(checkpoint), self.plan.teacher.data
        about = {"weights": weights_digest(loaded.weights), "data": to_plain(data)}
        path = self.output / "teacher_scores.json"
        noted = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if noted.get("about") != about:
            self._say(f"measuring {checkpoint}")
            device = self.processes.device
            scores = evaluate_checkpoint(loaded, data, data.val_split, device=device)
            noted = {"about": about, "scores": scores.to_dict()}
            write_settings(path, noted)
        return Trained(checkpoint, loaded.classes.names, noted["scores"], is_best_of_run=False)

    def _train(self, config: RunConfig, folder: Path, settings: Mapping[str, Any]) -> Path:
        """Train one network, or go on with it, or find it finished."""
        remedy = (
            f"move {folder} away to make this stage and those after it anew, or choose another "
            "--output"
        )
        begun = is_begun(folder / _SETTINGS, settings, remedy)
        if begun and (folder / _FINISHED).exists() and (folder / BEST).exists():
            self._say(f"{folder}: finished before")
            return folder / BEST
        self._say(f"{folder}: training")
        if self.processes.is_main and not begun:
            _require_no_run(folder)
            write_settings(folder / _SETTINGS, settings)
        result = train(
            config, folder, device=str(self.processes.device), resume=begun, console=self.console
        )
        if self.processes.is_main:
            write_settings(folder / _FINISHED, {"miou": result.best["miou"]})
        if self.processes.world > 1:
            dist.barrier()  # The first process has written the checkpoint; the others load it.
        return result.checkpoint

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def _require_no_run(folder: Path) -> None:
    if any((folder / name).exists() for name in (BEST, LAST, PREVIOUS)):
        raise CheckpointError(
            f"{folder} holds a run that `eseg self-train` did not begin; choose another --output"
        )


def _settings(config: RunConfig) -> dict[str, Any]:
    """What has a say in the weights of a run: its values, and the checkpoint it starts from."""
    plain = to_plain(config)
    for section, keys in _NO_SAY.items():
        plain[section] = {key: x for key, x in plain[section].items() if key not in keys}
    if config.data.pseudo is not None:
        plain["data"]["pseudo"] = {"fraction": config.data.pseudo.fraction}
    if config.init.checkpoint is not None:
        del plain["init"]["checkpoint"]  # its content counts: `_initial_weights`
    del plain["loader"]
    return plain | {"initial_weights": _initial_weights(config)}


def _initial_weights(config: RunConfig) -> dict[str, Any] | None:
    """What tells the checkpoint that a run starts from, if it starts from one.

    The classes say whether the head is taken over.
    """
    if config.init.checkpoint is None:
        return None
    loaded = load_checkpoint(config.init.checkpoint)
    return {"digest": weights_digest(loaded.weights), "classes": loaded.classes.names}
