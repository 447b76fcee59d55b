"""What self-training is to do, and whether all of it can be done."""

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
from eseg.errors import ConfigError, DataError
from eseg.models import create_model
from eseg.runtime.engine import EngineOptions
from eseg.self_training.pseudo_folder import PseudoFolder
from eseg.self_training.pseudo_label import PseudoLabelConfig, list_folder, require_readable
from eseg.training.initial_weights import require_same_architecture
from eseg.training.step import images_per_part

SCRATCH, PRETRAINED, TEACHER = "scratch", "pretrained", "teacher"
"""What a student can start from, beside a checkpoint: random weights, the backbone's ImageNet
weights, its teacher."""


@dataclass(frozen=True)
class SelfTraining:
    """What is to be done.

    Attributes:
        teacher: The run of the first teacher; of a given one, the data that it is compared on.
        student: The run of every student. Its `data.pseudo.dataset` is filled in, and its `init`
            too if `student_from` says what to start from.
        unlabelled: A folder of images, searched to any depth.
        labels: How the teachers label them.
        rounds: How often a student is trained; each is the teacher of the next.
        given_teacher: A checkpoint in place of a first teacher to be trained.
        student_from: `SCRATCH`, `PRETRAINED`, `TEACHER`, the path of a checkpoint, or None for
            what the student's config says.
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
        """The run of a first teacher to be trained: without pseudo-labels that are yet to come."""
        pseudo = self.teacher.data.pseudo
        if pseudo is None or pseudo.dataset is not None:
            return self.teacher
        return replace(self.teacher, data=replace(self.teacher.data, pseudo=None))

    @property
    def student_init(self) -> InitConfig | None:
        """What students start from, None for their teacher."""
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
        """What the student's config says about its second source, or the defaults."""
        return self.student.data.pseudo or PseudoConfig()

    def student_of(self, teacher: Path, dataset: Path) -> RunConfig:
        """The run of the student of one teacher.

        Args:
            teacher: The teacher's checkpoint.
            dataset: YAML of its pseudo-labels.
        """
        init = self.student_init or InitConfig(checkpoint=teacher.resolve())
        pseudo = replace(self.pseudo, dataset=dataset, root=None, split="train")
        data = replace(self.student.data, pseudo=pseudo)
        return replace(self.student, data=data, init=init)


def require_feasible(plan: SelfTraining, output: Path, world: int) -> None:
    """Find out now what would otherwise stop a later stage, hours from here.

    Args:
        plan: What is to be done.
        output: The folder for it.
        world: How many processes share the work.

    Raises:
        BackboneError: Students are to start from weights of the backbone that cannot be had.
        CheckpointError: A checkpoint cannot be read, or is of another architecture than the
            students that are to start from it.
        ConfigError: Teacher and student are for different classes or are measured on different
            images, there is to be no round, there is no such start for students, or the folder is
            a file.
        DataError: The data or the images are not as described, a threshold cannot be meant, or the
            given teacher is for other classes.
        TrainingError: A batch cannot be shared out.
    """
    if output.is_file():
        raise ConfigError(f"{output} is a file; choose another --output")
    if plan.rounds < 1:
        raise ConfigError(f"rounds: at least 1, not {plan.rounds}")
    classes, of_student = class_table(plan.teacher.data), class_table(plan.student.data)
    if classes.names != of_student.names:
        raise ConfigError(
            f"the teacher is for the classes {', '.join(classes.names)}, the student for "
            f"{', '.join(of_student.names)}; give both the same data set"
        )
    _require_same_validation(plan.teacher.data, plan.student.data)
    EngineOptions(scales=plan.labels.scales)  # refuses senseless ones
    plan.labels.thresholds(classes)
    split_batch(images_per_part(plan.student, world), plan.pseudo.fraction)
    names = list_folder(plan.unlabelled, output)
    PseudoFolder(output / "round1" / "pseudo_labels", plan.unlabelled, classes).require_listable(
        names
    )
    require_readable(plan.unlabelled, names)
    given = None
    if plan.given_teacher is None:
        images_per_part(plan.teacher, world)
    else:
        given = load_checkpoint(plan.given_teacher)
        if given.classes.names != classes.names:
            raise DataError(
                f"{plan.given_teacher} knows the classes {', '.join(given.classes.names)}; the "
                f"data set has {', '.join(classes.names)}: take a teacher for the same, in the "
                "same order"
            )
    _require_start(plan, given)
    # The teacher's splits are the first thing that its run opens, or are those of the student.
    for split in (plan.student.data.train_split, plan.student.data.val_split):
        open_split(plan.student.data, split)


def _require_same_validation(teacher: DataConfig, student: DataConfig) -> None:
    """Refuse scores on different images: their difference would be no gain."""
    before, after = _validation(teacher), _validation(student)
    differing = [
        f"{key} (teacher {before.get(key)}, student {after.get(key)})"
        for key in before | after
        if before.get(key) != after.get(key)
    ]
    if differing:
        raise ConfigError(
            "teacher and student have to be measured on the same images, or the gain means "
            f"nothing; these values differ: {', '.join(differing)}. Give both runs the same; what "
            "they learn from may differ (data.train_split)"
        )


def _validation(data: DataConfig) -> dict[str, Any]:
    """What says which images a run is measured on."""
    values = {f"data.{key}": getattr(data, key) for key in ("dataset", "root", "val_split")}
    if data.dataset == Path(STREETS):
        streets = to_plain(data.streets)
        if data.val_split != "train":
            del streets["train_length"]
        values |= {f"data.streets.{key}": value for key, value in streets.items()}
    return values


def _require_start(plan: SelfTraining, given: Checkpoint | None) -> None:
    """Make sure that students can start from what they are to start from."""
    init, model = plan.student_init, plan.student.model
    if init is None:
        teacher = plan.teacher.model if given is None else given.model
        require_same_architecture(teacher, model, "--student-from teacher: the teacher")
    elif init.checkpoint is not None:
        if plan.student_from is not None and not init.checkpoint.exists():
            raise ConfigError(
                f"students cannot start from '{plan.student_from}': it is neither {SCRATCH}, "
                f"{PRETRAINED} nor {TEACHER}, and no such file is there"
            )
        start = load_checkpoint(init.checkpoint)
        require_same_architecture(start.model, model, f"the students' start {init.checkpoint}")
    elif init.pretrained_backbone is not False:
        # Afterwards they lie in timm's cache, should the network be gone by then.
        create_model(model, pretrained_backbone=init.pretrained_backbone)
