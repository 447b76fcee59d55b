"""Self-training: a teacher labels more images, and a student learns from both (section 4.4)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist

from eseg.checkpoint import load_checkpoint, weights_digest
from eseg.config import RunConfig, to_plain
from eseg.devices import choose_device
from eseg.errors import CheckpointError
from eseg.inference.evaluate import evaluate
from eseg.reports.reporter import SILENT, Reporter
from eseg.runtime.writing import output_errors
from eseg.self_training.plan import SelfTraining, require_feasible
from eseg.self_training.pseudo_label import pseudo_label
from eseg.self_training.rounds_report import Round, Trained, write_rounds_report
from eseg.training.distributed import Processes, join_processes
from eseg.training.run_folder import BEST, LAST, PREVIOUS
from eseg.training.run_settings import is_begun, write_settings
from eseg.training.trainer import train

_SETTINGS, _FINISHED = "settings.json", "finished.json"
NON_IDENTITY_KEYS = {"data": ("dataset", "root"), "train": ("checkpoint_every", "log_every")}
"""Keys of a finished run that may change: locations, and values without effect on the weights."""


def self_train(
    plan: SelfTraining,
    output: str | Path,
    *,
    device: str | None = None,
    reporter: Reporter = SILENT,
) -> Path:
    """Train a teacher, let it label images, train a student, and report the gain.

    Called again after an interruption, it goes on where it was; finished stages stay. Under
    torchrun every process calls this; the first one writes and reports.

    Args:
        plan: Runs of teacher and students, and the images to label.
        output: Folder for `round1/teacher`, `round1/pseudo_labels` and `round1/student`, the same
            for further rounds without a teacher, `report.md` and `report.json`.
        device: `cuda`, `mps`, `cpu`, or None for the fastest.
        reporter: Receiver of lines, figures and tables while the work goes on.

    Returns:
        The last student's checkpoint.

    Raises:
        BackboneError: Pretrained weights of the students' backbone are not available.
        CheckpointError: A checkpoint cannot be read or does not fit, or the folder holds a run of
            another command.
        ConfigError: Teacher and student are evaluated on different images, the number of rounds is
            below 1, or the start of the students does not exist.
        DataError: The data or the images are not as described, teacher and student are for
            different classes, a threshold is out of range, or a stage was made with other
            settings.
        DeviceError: The device does not exist.
        OutputError: A folder cannot be written, or another process is writing there.
        TrainingError: A training failed, or another process was lost.
    """
    output = Path(output)
    with join_processes(choose_device(device)) as processes:
        _require_no_run(output)
        require_feasible(plan, output, processes.world)
        stages = _Stages(plan, output, processes, reporter if processes.is_main else SILENT)
        first = teacher = plan.given_teacher or stages.train_teacher()
        rounds = []
        for number in range(1, plan.rounds + 1):
            rounds.append(stages.run_round(number, teacher))
            teacher = rounds[-1].student.checkpoint
        if processes.is_main:
            stages.report(first, rounds)
    return teacher


@dataclass(frozen=True)
class _Stages:
    """Stages of self-training; a finished one is not repeated."""

    plan: SelfTraining
    output: Path
    processes: Processes
    reporter: Reporter

    def train_teacher(self) -> Path:
        """Train the first teacher; return its checkpoint."""
        config = self.plan.teacher_run
        return self._train(config, self.output / "round1" / "teacher", _identity(config))

    def run_round(self, number: int, teacher: Path) -> Round:
        """Make pseudo-labels, and train a student on them."""
        folder = self.output / f"round{number}"
        self.reporter.say(f"{folder / 'pseudo_labels'}: labels of {teacher}")
        labels = pseudo_label(
            load_checkpoint(teacher),
            self.plan.unlabelled,
            folder / "pseudo_labels",
            self.plan.labels,
            device=self.processes.device,
            reporter=self.reporter,
        )
        for error in labels.skipped.values():
            self.reporter.say(f"skipped: {error}")
        self.reporter.show(labels.table())
        config = self.plan.student_of(teacher, labels.dataset)
        settings = _identity(config) | {"pseudo_labels": labels.fingerprint}
        student = self._train(config, folder / "student", settings)
        return Round(labels, Trained.of_run(student))

    def report(self, teacher: Path, rounds: Sequence[Round]) -> None:
        """Write the report; for it, evaluate a given first teacher."""
        is_given = self.plan.given_teacher is not None
        first = self._evaluated(teacher) if is_given else Trained.of_run(teacher)
        with output_errors(self.output):
            path = write_rounds_report(self.output, first, rounds)
        self.reporter.say(f"report {path}")

    def _evaluated(self, checkpoint: Path) -> Trained:
        """Evaluate a network on the validation split, or read its scores from an earlier call."""
        loaded, data = load_checkpoint(checkpoint), self.plan.teacher.data
        about = {"weights": weights_digest(loaded.weights), "data": to_plain(data)}
        path = self.output / "teacher_scores.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if known.get("about") != about:
            self.reporter.say(f"measuring {checkpoint}")
            device = str(self.processes.device)
            scores = evaluate(loaded, data, data.val_split, device=device)
            known = {"about": about, "scores": scores.to_dict()}
            write_settings(path, known)
        return Trained(checkpoint, loaded.classes.names, known["scores"], is_best_of_run=False)

    def _train(self, config: RunConfig, folder: Path, settings: Mapping[str, Any]) -> Path:
        """Train one network, resume its training, or find it finished."""
        remedy = (
            f"move {folder} away to make this stage and those after it anew, or choose another "
            "`output`"
        )
        begun = is_begun(folder / _SETTINGS, settings, remedy)
        if begun and (folder / _FINISHED).exists() and (folder / BEST).exists():
            self.reporter.say(f"{folder}: finished before")
            return folder / BEST
        self.reporter.say(f"{folder}: training")
        if self.processes.is_main and not begun:
            _require_no_run(folder)
            write_settings(folder / _SETTINGS, settings)
        device = str(self.processes.device)
        result = train(config, folder, device=device, resume=begun, reporter=self.reporter)
        if self.processes.is_main:
            write_settings(folder / _FINISHED, {"miou": result.miou})
        if self.processes.world > 1:
            dist.barrier()  # The first process has written the checkpoint; the others load it.
        return result.checkpoint


def _require_no_run(folder: Path) -> None:
    if any((folder / name).exists() for name in (BEST, LAST, PREVIOUS)):
        raise CheckpointError(
            f"{folder} holds a run that `eseg self-train` did not begin; choose another `output`"
        )


def _identity(config: RunConfig) -> dict[str, Any]:
    """Collect what affects the weights of a run: its values, and the weights it starts from."""
    plain = to_plain(config)
    for section, keys in NON_IDENTITY_KEYS.items():
        plain[section] = {key: x for key, x in plain[section].items() if key not in keys}
    if config.data.pseudo is not None:
        plain["data"]["pseudo"] = {"fraction": config.data.pseudo.fraction}
    del plain["loader"]
    initial_weights = None
    if config.init.checkpoint is not None:
        del plain["init"]["checkpoint"]  # its content counts, not its path
        loaded = load_checkpoint(config.init.checkpoint)
        # The classes decide whether the head is loaded.
        initial_weights = {
            "digest": weights_digest(loaded.weights),
            "classes": loaded.classes.names,
        }
    return plain | {"initial_weights": initial_weights}
