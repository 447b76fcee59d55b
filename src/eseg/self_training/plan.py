"""Plan of self-training, and the check that every stage of it can be done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eseg.checkpoint import Checkpoint, load_checkpoint
from eseg.config import (
    STREETS,
    DataConfig,
    InitConfig,
    PseudoConfig,
    RunConfig,
    class_table,
    open_split,
    to_plain,
)
from eseg.data.sampling import split_batch
from eseg.errors import ConfigError, OutputError
from eseg.models import create_model
from eseg.runtime.class_table import require_same_classes
from eseg.runtime.engine import EngineOptions
from eseg.self_training.pseudo_folder import PseudoFolder
from eseg.self_training.pseudo_label import PseudoLabelConfig, list_folder, require_readable
from eseg.training.initial_weights import require_same_architecture
from eseg.training.step import images_per_part

SCRATCH, PRETRAINED, TEACHER = "scratch", "pretrained", "teacher"
"""Starts of a student, besides a checkpoint: random weights, ImageNet weights of the backbone, the
weights of its teacher."""


@dataclass(frozen=True)
class SelfTraining:
    """Plan of self-training.

    Attributes:
        teacher: The run of the first teacher; for a given teacher, the data to compare on.
        student: The run of every student. Its data.pseudo.dataset is filled in, and its init too
            if `student_from` is given.
        unlabelled: Folder of images, searched to any depth.
        labels: Settings of the teachers' labels.
        rounds: Number of students; each is the teacher of the next.
        given_teacher: Checkpoint that replaces the training of a first teacher.
        student_from: `SCRATCH`, `PRETRAINED`, `TEACHER`, the path of a checkpoint, or None for
            the init of the student's config.
    """

    teacher: RunConfig
    student: RunConfig
    unlabelled: Path
    labels: PseudoLabelConfig
    rounds: int = 1
    given_teacher: Path | None = None
    student_from: str | None = None

    @property
    def teacher_run(self) -> RunConfig:
        """Run of the first teacher, without the pseudo-labels that do not exist yet."""
        pseudo = self.teacher.data.pseudo
        if pseudo is None or pseudo.dataset is not None:
            return self.teacher
        return replace(self.teacher, data=replace(self.teacher.data, pseudo=None))

    @property
    def student_init(self) -> InitConfig | None:
        """Start of the students; None for their teacher."""
        if self.student_from == TEACHER:
            return None
        if self.student_from is None:
            return self.student.init
        if self.student_from == SCRATCH:
            return InitConfig()
        if self.student_from == PRETRAINED:
            return InitConfig(pretrained_backbone=True)
        return InitConfig(checkpoint=Path(self.student_from).resolve())

    @property
    def pseudo(self) -> PseudoConfig:
        """The student's second source of samples."""
        return self.student.data.pseudo or PseudoConfig()

    def student_of(self, teacher: Path, dataset: Path) -> RunConfig:
        """Build the run of a student, from its teacher's checkpoint and pseudo-labels (a YAML)."""
        init = self.student_init or InitConfig(checkpoint=teacher.resolve())
        pseudo = replace(self.pseudo, dataset=dataset, root=None, split="train")
        data = replace(self.student.data, pseudo=pseudo)
        return replace(self.student, data=data, init=init)


def require_feasible(plan: SelfTraining, output: Path, world: int) -> None:
    """Check all that would otherwise stop a later stage; raise the errors of `self_train`.

    `output` is its folder, `world` the number of processes.
    """
    if output.is_file():
        raise OutputError(f"{output} is a file; choose another `output`")
    if plan.rounds < 1:
        raise ConfigError(f"`rounds`: at least 1, not {plan.rounds}")
    classes, students = class_table(plan.teacher.data), class_table(plan.student.data)
    remedy = "give both the same data set"
    require_same_classes(classes, students, "the teacher's", "the student's data set", remedy)
    _require_same_validation(plan.teacher.data, plan.student.data)
    EngineOptions(scales=plan.labels.scales)  # refuses senseless ones
    plan.labels.thresholds(classes)
    split_batch(images_per_part(plan.student, world), plan.pseudo.fraction)
    names = list_folder(plan.unlabelled, output)
    folder = PseudoFolder(output / "round1" / "pseudo_labels", plan.unlabelled, classes)
    folder.require_listable(names)
    require_readable(plan.unlabelled, names)
    given = None
    if plan.given_teacher is None:
        images_per_part(plan.teacher, world)
    else:
        given = load_checkpoint(plan.given_teacher)
        remedy = "use a teacher for the same classes, in the same order"
        whose = str(plan.given_teacher)
        require_same_classes(classes, given.classes, "the data set", whose, remedy)
    _require_start(plan, given)
    # The teacher's run opens its splits first; those of a given teacher are the student's.
    for split in (plan.student.data.train_split, plan.student.data.val_split):
        open_split(plan.student.data, split)


def _require_same_validation(teacher: DataConfig, student: DataConfig) -> None:
    before, after = _validation(teacher), _validation(student)
    differing = [
        f"{key} (teacher {before.get(key)}, student {after.get(key)})"
        for key in before | after
        if before.get(key) != after.get(key)
    ]
    if differing:
        raise ConfigError(
            "teacher and student have to be evaluated on the same images, or the gain means "
            f"nothing; these values differ: {', '.join(differing)}. Give both runs the same; only "
            "their training images may differ (data.train_split)"
        )


def _validation(data: DataConfig) -> dict[str, Any]:
    """Collect the values that determine which images a run is evaluated on."""
    values = {f"data.{key}": getattr(data, key) for key in ("dataset", "root", "val_split")}
    if data.dataset == Path(STREETS):
        streets = to_plain(data.streets)
        if data.val_split != "train":
            del streets["train_length"]
        values |= {f"data.streets.{key}": value for key, value in streets.items()}
    return values


def _require_start(plan: SelfTraining, given: Checkpoint | None) -> None:
    """Check that the students' start exists and fits."""
    init, model = plan.student_init, plan.student.model
    if init is None:
        teacher = plan.teacher.model if given is None else given.model
        require_same_architecture(teacher, model, "`student_from` teacher: the teacher")
    elif init.checkpoint is not None:
        if plan.student_from is not None and not init.checkpoint.exists():
            raise ConfigError(
                f"students cannot start from '{plan.student_from}': it is neither {SCRATCH}, "
                f"{PRETRAINED} nor {TEACHER}, and there is no such file"
            )
        start = load_checkpoint(init.checkpoint)
        require_same_architecture(start.model, model, f"the students' start {init.checkpoint}")
    elif init.pretrained_backbone is not False:
        # This also puts the weights into timm's cache, in case the connection is lost later.
        create_model(model, pretrained_backbone=init.pretrained_backbone)
