"""Verbs that learn from images without labels: pseudo-label, self-train."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eseg.cli.options import CheckpointFile, Device, Output, Precision, Scales, default_output
from eseg.cli.screen import clear_errors, complain, console, ended_by_sigterm, print_line

if TYPE_CHECKING:
    from eseg.self_training.pseudo_label import PseudoLabelConfig

app = typer.Typer()


def _refuse_certainty(threshold: float) -> float:
    """Refuse what lies outside [0, 1); the bounds that Typer knows are part of their range."""
    if not 0 <= threshold < 1:
        raise typer.BadParameter(f"{threshold:g} is not at least 0 and below 1")
    return threshold


TeacherFlip = Annotated[
    bool, typer.Option("--flip/--no-flip", help="Average with the mirror images too.")
]
Threshold = Annotated[
    float,
    typer.Option(
        callback=_refuse_certainty,
        help="Pixels with this probability or less get no label.",
        metavar="NUMBER [0<=x<1]",
    ),
]
ClassThreshold = Annotated[
    list[str] | None,
    typer.Option(
        help="The same for one class, such as person=0.7; again for another.",
        metavar="CLASS=NUMBER",
    ),
]


@app.command("pseudo-label")
def pseudo_label(
    checkpoint: CheckpointFile,
    images: Annotated[Path, typer.Option(help="Folder of images, searched to any depth.")],
    output: Annotated[
        Path, typer.Option(help="Folder for labels/, dataset.yaml, report.json and sheet.png.")
    ],
    scales: Scales = None,
    flip: TeacherFlip = True,
    threshold: Threshold = 0.5,
    class_threshold: ClassThreshold = None,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Write the probabilities too, times 255.")
    ] = False,
    device: Device = None,
    precision: Precision = "auto",
) -> None:
    """Label images with what a network is sure of, for another one to learn from.

    Averages over scales, 0.5 1.0 2.0 by default, and mirror images. The same command goes on where
    it was broken off. Several processes: [bold]torchrun --nproc-per-node 4 -m[/bold] in front of
    it. An image that cannot be read is reported and skipped; the exit code is then 1
    (of several processes 0: torchrun would start them again).
    """
    with ended_by_sigterm(), clear_errors(resumable=True):
        from eseg.checkpoint import load_checkpoint
        from eseg.cli.training_progress import TrainingReporter
        from eseg.devices import choose_device
        from eseg.self_training import pseudo_label as labelling
        from eseg.training.distributed import join_processes

        config = _label_config(scales, flip, threshold, class_threshold, confidence, precision)
        teacher = load_checkpoint(checkpoint)
        with join_processes(choose_device(device)) as processes:
            console.quiet = not processes.is_main
            reporter = TrainingReporter(console)
            report = labelling.pseudo_label(
                teacher, images, output, config, device=processes.device, reporter=reporter
            )
        reporter.show(report.table())
        for error in report.skipped.values() if processes.is_main else ():
            complain(f"skipped: {error}")
        speed = "" if report.images_per_second is None else f", {report.images_per_second} images/s"
        print_line(
            f"{report.images} images{speed}, {report.kept_fraction:.1%} of their pixels kept\n"
            f"  look at   {report.sheet}\n"
            f"  train on  data.pseudo.dataset={report.dataset}"
        )
        if report.skipped and "RANK" not in os.environ:  # torchrun would start it all again
            raise typer.Exit(1)


@app.command("self-train")
def self_train(
    config: Annotated[Path, typer.Argument(help="YAML of the teacher's run.")],
    unlabelled: Annotated[
        Path, typer.Option(help="Folder of images without labels, searched to any depth.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Values to change in the runs of teacher and student.",
            metavar="[SECTION.KEY=VALUE]...",
        ),
    ] = None,
    student_config: Annotated[
        Path | None, typer.Option(help="YAML of the students' runs; by default the teacher's.")
    ] = None,
    student_from: Annotated[
        str | None,
        typer.Option(
            help="What students start from: scratch, pretrained (the backbone's ImageNet "
            "weights), teacher, or a checkpoint; by default what their YAML says.",
            metavar="START",
        ),
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="A trained teacher, instead of training one.")
    ] = None,
    rounds: Annotated[
        int, typer.Option(help="Students in a row, each the teacher of the next.", min=1)
    ] = 1,
    scales: Scales = None,
    flip: TeacherFlip = True,
    threshold: Threshold = 0.5,
    class_threshold: ClassThreshold = None,
    device: Device = None,
    output: Output = None,
) -> None:
    """Train a teacher, label images with it, train a student on both, report the gain per class.

    Half of every batch of the student has pseudo-labels (data.pseudo.fraction). The same command
    goes on where it was broken off; finished stages stay. By default the output folder is
    runs/NAME, NAME being the config's. Several processes: [bold]torchrun --nproc-per-node 4
    -m[/bold] in front of the command.
    """
    with ended_by_sigterm(), clear_errors(resumable=True):
        from eseg.cli.training_progress import TrainingReporter
        from eseg.config import load_config
        from eseg.self_training.rounds import SelfTraining
        from eseg.self_training.rounds import self_train as run

        plan = SelfTraining(
            teacher=load_config(config, overrides or ()),
            student=load_config(student_config or config, overrides or ()),
            unlabelled=unlabelled,
            labels=_label_config(scales, flip, threshold, class_threshold),
            rounds=rounds,
            given_teacher=teacher,
            student_from=student_from,
        )
        folder = output or default_output(config)
        run(plan, folder, device=device, reporter=TrainingReporter(console))


def _label_config(
    scales: list[float] | None,
    flip: bool,
    threshold: float,
    class_thresholds: Iterable[str] | None,
    confidence: bool = False,
    precision: str = "auto",
) -> PseudoLabelConfig:
    """The options about labels as one; raises `ConfigError` for what cannot be read."""
    from eseg.devices import choose_precision
    from eseg.errors import ConfigError
    from eseg.self_training.pseudo_label import PseudoLabelConfig

    by_class = {}
    for text in class_thresholds or ():
        name, _, number = text.rpartition("=")
        try:
            value = float(number) if name else None
        except ValueError:
            value = None
        if value is None:
            raise ConfigError(f"--class-threshold {text!r} is not CLASS=NUMBER, such as person=0.7")
        if name in by_class:
            raise ConfigError(f"--class-threshold is given twice for {name!r}; give it once")
        by_class[name] = value
    return PseudoLabelConfig(
        scales=tuple(scales) if scales else PseudoLabelConfig.scales,
        flip=flip,
        threshold=threshold,
        class_thresholds=by_class,
        confidence=confidence,
        precision=choose_precision(precision),
    )
