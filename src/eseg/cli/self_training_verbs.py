"""Verbs that learn from images without labels: pseudo-label, self-train."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from eseg.cli import options
from eseg.cli.options import (
    default_output,
    existing_file,
    file_or_name,
    path_option,
    writable_folder,
)
from eseg.cli.screen import RichReporter, complain, print_line, print_table, resumable
from eseg.errors import ConfigError


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


@resumable()
def pseudo_label(
    checkpoint: options.CheckpointFile,
    images: options.Unlabelled,
    output: Annotated[Path, path_option(writable_folder)],
    scales: options.Scales = None,
    flip: TeacherFlip = True,
    threshold: Threshold = 0.5,
    class_threshold: ClassThreshold = None,
    confidence: Annotated[bool, typer.Option("--confidence")] = False,
    device: options.Device = None,
    precision: options.Precision = "auto",
) -> None:
    """Label images with what a network is sure of, for another one to learn from.

    Averages over scales, 0.5 1.0 2.0 by default, and mirror images. The same command goes on where
    it was broken off. Several processes: [bold]torchrun --nproc-per-node 4 -m[/bold] in front of
    it. An image that cannot be read is reported and skipped; the exit code is then 1
    (of several processes 0: torchrun would start them again).

    Args:
        output: Folder for labels/, dataset.yaml, report.json and sheet.png.
        confidence: Write the probabilities too, times 255.
    """
    by_class = _class_thresholds(class_threshold)
    from eseg.checkpoint import load_checkpoint
    from eseg.devices import choose_device
    from eseg.self_training import pseudo_label as labelling
    from eseg.training.distributed import join_processes

    config = labelling.PseudoLabelConfig(
        scales=tuple(scales or labelling.PseudoLabelConfig.scales),
        flip=flip,
        threshold=threshold,
        class_thresholds=by_class,
        confidence=confidence,
        precision=precision,
    )
    teacher = load_checkpoint(checkpoint)
    with join_processes(choose_device(device)) as processes, RichReporter() as reporter:
        report = labelling.pseudo_label(
            teacher, images, output, config, device=processes.device, reporter=reporter
        )
    if processes.is_main:
        print_table(report.table())
        for error in report.skipped.values():
            complain(f"skipped: {error}")
        speed = "" if report.images_per_second is None else f", {report.images_per_second} images/s"
        print_line(
            f"{report.images} images{speed}, {report.kept_fraction:.1%} of their pixels kept\n"
            f"  look at   {report.sheet}\n"
            f"  train on  data.pseudo.dataset={report.dataset}"
        )
    if report.skipped and "RANK" not in os.environ:  # torchrun would start it all again
        raise typer.Exit(1)


@resumable()
def self_train(
    config: options.RunYaml,
    unlabelled: options.Unlabelled,
    overrides: options.Overrides = None,
    student_config: Annotated[Path | None, path_option(existing_file)] = None,
    student_from: Annotated[str | None, path_option(file_or_name, metavar="START")] = None,
    teacher: Annotated[Path | None, path_option(existing_file)] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 1,
    scales: options.Scales = None,
    flip: TeacherFlip = True,
    threshold: Threshold = 0.5,
    class_threshold: ClassThreshold = None,
    device: options.Device = None,
    output: options.Output = None,
) -> None:
    """Train a teacher, label images with it, train a student on both, report the gain per class.

    Half of every batch of the student has pseudo-labels (data.pseudo.fraction). The same command
    goes on where it was broken off; finished stages stay. By default the output folder is
    runs/NAME, NAME being the config's. Several processes: [bold]torchrun --nproc-per-node 4
    -m[/bold] in front of the command.

    Args:
        student_config: YAML of the students' runs; by default the teacher's.
        student_from: What students start from: scratch, pretrained (the backbone's ImageNet
            weights), teacher, or a checkpoint; by default what their YAML says.
        teacher: A trained teacher, instead of training one.
        rounds: Students in a row, each the teacher of the next.
    """
    by_class = _class_thresholds(class_threshold)
    from eseg.config import load_config
    from eseg.self_training.pseudo_label import PseudoLabelConfig
    from eseg.self_training.rounds import SelfTraining
    from eseg.self_training.rounds import self_train as run

    plan = SelfTraining(
        teacher=load_config(config, overrides or ()),
        student=load_config(student_config or config, overrides or ()),
        unlabelled=unlabelled,
        labels=PseudoLabelConfig(
            scales=tuple(scales or PseudoLabelConfig.scales),
            flip=flip,
            threshold=threshold,
            class_thresholds=by_class,
        ),
        rounds=rounds,
        given_teacher=teacher,
        student_from=student_from,
    )
    with RichReporter() as reporter:
        run(plan, output or default_output(config), device=device, reporter=reporter)


def _class_thresholds(words: list[str] | None) -> dict[str, float]:
    """Read CLASS=NUMBER each; raise `ConfigError` for anything else and for a repeated class."""
    thresholds: dict[str, float] = {}
    for text in words or ():
        name, _, number = text.rpartition("=")
        try:
            value = float(number) if name else None
        except ValueError:
            value = None
        if value is None:
            raise ConfigError(f"--class-threshold {text!r} is not CLASS=NUMBER, such as person=0.7")
        if name in thresholds:
            raise ConfigError(f"--class-threshold is given twice for {name!r}; give it once")
        thresholds[name] = value
    return thresholds
