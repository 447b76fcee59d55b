"""Teacher, pseudo-labels, student: done once, resumed exactly, and what they brought is told."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from eseg.checkpoint import load_checkpoint, weights_digest
from eseg.cli import app
from eseg.cli.screen import RichReporter
from eseg.config import InitConfig, PseudoConfig, to_plain
from eseg.errors import BackboneError, CheckpointError, ConfigError, DataError, OutputError
from eseg.self_training import rounds as self_training
from eseg.self_training.plan import PRETRAINED, SCRATCH, TEACHER, SelfTraining
from eseg.self_training.pseudo_label import PseudoLabelConfig
from eseg.self_training.rounds import self_train
from eseg.training.run_folder import RunFolder
from eseg.training.step import Stepper

LABELS = PseudoLabelConfig(scales=(1.0,), threshold=0.4)


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    """The pictures of the runs take longer than the runs."""
    monkeypatch.setattr(RunFolder, "report", lambda *_: None)


@pytest.fixture(scope="module")
def unlabelled(toy_dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unlabelled")
    for index in range(6):
        image = Image.open(toy_dataset.parent / "train" / f"{index}.png")
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def plan(toy_config, toy_run, unlabelled):
    """A given teacher and a student of a few steps."""
    student = toy_config({"train.steps": 4, "train.eval_every": 2, "optim.warmup_steps": 1})
    best = toy_run.folder / "best.pt"
    return SelfTraining(
        teacher=toy_run.config,
        student=student,
        unlabelled=unlabelled,
        labels=LABELS,
        given_teacher=best,
        student_from=TEACHER,
    )


@pytest.fixture(scope="module")
def finished(plan, tmp_path_factory):
    """Two rounds that nothing interrupted, and what they printed."""
    output = tmp_path_factory.mktemp("finished") / "out"
    with pytest.MonkeyPatch.context() as patch, (output.parent / "log").open("w+") as file:
        patch.setattr(RunFolder, "report", lambda *_: None)
        reporter = RichReporter(Console(file=file, width=100))
        best = run(replace(plan, rounds=2), output, reporter=reporter)
        file.seek(0)
        return SimpleNamespace(output=output, best=best, printed=file.read())


def run(plan, output, **options):
    return self_train(plan, output, device="cpu", **options)


def interrupt(monkeypatch, after):
    """Let the student's training end as by Ctrl-C after some steps."""
    step = Stepper.step

    def interrupted(self, batches):
        if self.state.step == after:
            raise KeyboardInterrupt
        return step(self, batches)

    monkeypatch.setattr(Stepper, "step", interrupted)


def digest(path):
    return weights_digest(load_checkpoint(path).weights)


def test_students_learn_from_both_and_become_teachers(plan, finished):
    assert finished.best == finished.output / "round2" / "student" / "best.pt"
    assert not (finished.output / "round1" / "teacher").exists()
    for number in (1, 2):
        folder = finished.output / f"round{number}"
        config = yaml.safe_load((folder / "student" / "config.yaml").read_text())
        assert config["data"]["pseudo"]["dataset"] == str(folder / "pseudo_labels" / "dataset.yaml")
        assert config["data"]["pseudo"]["fraction"] == 0.5
        settings = json.loads((folder / "pseudo_labels" / "settings.json").read_text())
        teacher = plan.given_teacher if number == 1 else finished.output / "round1/student/best.pt"
        assert settings["weights"] == digest(teacher)
        assert config["init"]["checkpoint"] == str(teacher)
    assert finished.printed.count("8 train, 6 pseudo-labelled (50% of every batch)") == 2


def test_the_report_tells_the_gain(toy_run, finished):
    report = json.loads((finished.output / "report.json").read_text())
    assert report["teacher"]["miou"] == pytest.approx(toy_run.result.best["miou"], abs=1e-9)
    page = (finished.output / "report.md").read_text()
    assert "The teacher was given; the student is the best weights of its run" in page
    assert len(report["rounds"]) == 2
    for number, done in enumerate(report["rounds"], 1):
        best = load_checkpoint(finished.output / f"round{number}" / "student" / "best.pt")
        assert done["student"]["miou"] == best.scores["miou"]
        assert done["gain"] == pytest.approx(best.scores["miou"] - report["teacher"]["miou"])
        for index, gain in enumerate(done["gain_per_class"]):
            before, after = report["teacher"]["iou"][index], best.scores["iou"][index]
            assert gain == pytest.approx(after - before)
            assert f" {after:.4f} |" in page
        assert done["pseudo_labels"]["images"] == 6
        assert f"(<round{number}/pseudo_labels/sheet.png>)" in page
        assert (finished.output / f"round{number}" / "pseudo_labels" / "sheet.png").exists()
    assert f"**{report['rounds'][1]['gain']:+.4f}**" in page
    assert "| ball | " in page


def test_finished_stages_are_not_redone(plan, finished, monkeypatch):
    files = [path for path in finished.output.rglob("*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in files if "report" not in path.name}
    before = {path: time for path, time in before.items() if path.parent.name != "pseudo_labels"}
    monkeypatch.setattr(self_training, "train", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr(self_training, "evaluate", lambda *_, **__: pytest.fail("measured again"))
    report = (finished.output / "report.json").read_text()
    assert run(replace(plan, rounds=2), finished.output) == finished.best
    assert (finished.output / "report.json").read_text() == report
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_broken_off_and_resumed_equals_uninterrupted(plan, finished, tmp_path, monkeypatch):
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt(patch, after=3)
        with pytest.raises(KeyboardInterrupt):
            run(plan, output)
    assert load_checkpoint(output / "round1" / "student" / "last.pt").step == 2
    best = run(plan, output)
    assert digest(best) == digest(finished.output / "round1" / "student" / "best.pt")
    last = "round1/student/last.pt"
    assert digest(output / last) == digest(finished.output / last)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"labels": replace(LABELS, threshold=0.6)},
            r"pseudo_labels was made .*was 0\.4, now 0\.6",
        ),
        (
            {"student": ("optim.lr", 0.1)},
            r"student was made with other settings: optim\.lr \(was 0\.4, now 0\.1",
        ),
        ({"student": ("seed", 3)}, r"settings: seed \(was 0, now 3\)"),
        ({"student_from": SCRATCH}, r"initial_weights\.digest \(was .*, now null\)"),
    ],
)
def test_changes_are_noticed_and_the_remedy_is_told(
    plan, finished, toy_config, monkeypatch, change, message
):
    monkeypatch.setattr(self_training, "train", lambda *_, **__: pytest.fail("trained again"))
    if isinstance(change.get("student"), tuple):
        key, value = change["student"]
        steps = {"train.steps": 4, "train.eval_every": 2, "optim.warmup_steps": 1}
        change = {"student": toy_config(steps | {key: value})}
    with pytest.raises(DataError, match=message) as error:
        run(replace(plan, **change), finished.output)
    assert "choose another `output`" in str(error.value)
    assert "\n" not in str(error.value)


def test_what_does_not_affect_the_weights_may_change(plan, finished, monkeypatch):
    monkeypatch.setattr(self_training, "train", lambda *_, **__: pytest.fail("trained again"))
    quiet = replace(plan.student.train, log_every=50, checkpoint_every=7)
    student = replace(plan.student, train=quiet, loader=replace(plan.student.loader, prefetch=5))
    run(replace(plan, student=student, rounds=2), finished.output)


def test_a_new_unlabelled_image_makes_another_student(plan, unlabelled, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for path in list(unlabelled.iterdir())[:3]:
        (folder / path.name).write_bytes(path.read_bytes())
    mine = replace(plan, unlabelled=folder)
    run(mine, tmp_path / "out")
    (folder / "new.png").write_bytes((unlabelled / "0.png").read_bytes())
    with pytest.raises(DataError, match="student was made with other settings: pseudo_labels"):
        run(mine, tmp_path / "out")


def test_unlabelled_images_may_move(plan, finished, unlabelled, tmp_path, monkeypatch):
    moved = shutil.copytree(unlabelled, tmp_path / "elsewhere" / "images")
    output = shutil.copytree(finished.output, tmp_path / "out")
    monkeypatch.setattr(self_training, "train", lambda *_, **__: pytest.fail("trained again"))
    run(replace(plan, unlabelled=moved), output)


def test_a_teacher_is_trained_if_none_is_given(plan, toy_config, tmp_path):
    """Its share of pseudo-labels is said for the student, which has some."""
    changes = {"train.steps": 3, "data.pseudo": {"fraction": 0.25}}
    teacher = toy_config(changes)
    student = toy_config(changes | {"train.steps": 4})
    started = replace(plan, teacher=teacher, student=student, given_teacher=None, student_from=None)
    best = run(started, tmp_path / "out")
    folder = tmp_path / "out" / "round1"
    first = load_checkpoint(folder / "teacher" / "best.pt")
    assert first.step == 3
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["teacher"]["miou"] == first.scores["miou"]
    assert "Both are the best weights of their runs" in (tmp_path / "out/report.md").read_text()
    student = load_checkpoint(best).run
    assert student["init"] == to_plain(InitConfig())
    assert first.run["data"]["pseudo"] is None
    assert student["data"]["pseudo"]["fraction"] == 0.25


def test_a_teacher_may_have_pseudo_labels_of_its_own(plan, toy_dataset):
    data = replace(plan.teacher.data, pseudo=PseudoConfig(dataset=toy_dataset))
    teacher = replace(plan.teacher, data=data)
    assert replace(plan, teacher=teacher).teacher_run is teacher


def test_what_a_student_starts_from(plan, tmp_path):
    def start(student_from, given):
        mine = replace(plan, student=replace(plan.student, init=given), student_from=student_from)
        return mine.student_of(tmp_path / "teacher.pt", tmp_path / "dataset.yaml").init

    for given in (InitConfig(), InitConfig(pretrained_backbone=True)):
        assert start(None, given) == given
        assert start(SCRATCH, given) == InitConfig()
        assert start(PRETRAINED, given) == InitConfig(pretrained_backbone=True)
        assert start(TEACHER, given) == InitConfig(checkpoint=tmp_path / "teacher.pt")
        assert start(str(tmp_path / "x.pt"), given) == InitConfig(checkpoint=tmp_path / "x.pt")


def test_what_would_fail_later_fails_at_once(plan, toy_config, tmp_path):
    wider = replace(plan.student, model=replace(plan.student.model, channels=12))
    lost = replace(plan.student, init=InitConfig(checkpoint=tmp_path / "lost.pt"))
    elsewhere = toy_config({"data.val_split": "train"})
    tabbed = tmp_path / "tabbed"
    tabbed.mkdir()
    Image.new("RGB", (8, 8)).save(tabbed / "a\tb.png")
    for name in ("empty", "broken"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken" / "a.png").touch()
    odd = toy_config({"train.batch_size": 5})
    streets = toy_config({"data": {"dataset": "streets"}})
    for changed, kind, message in (
        ({"student": odd}, DataError, r"data\.pseudo\.fraction: 0\.5 of 5 is no"),
        ({"student": streets}, DataError, "than the teacher's: class 0 is 'road' .* of 'ground'"),
        ({"teacher": streets, "student": streets}, DataError, "use a teacher for the same"),
        ({"unlabelled": tmp_path / "none"}, DataError, "none: no such folder"),
        ({"unlabelled": tmp_path / "empty"}, DataError, "no images in this folder"),
        ({"unlabelled": tmp_path / "broken"}, DataError, r"no image can be read; .*a\.png"),
        ({"unlabelled": tabbed}, DataError, "tabs, line breaks"),
        ({"student": wider}, CheckpointError, r"the teacher is of another .*channels 8 \(here 12"),
        (
            {"student": wider, "given_teacher": None},
            CheckpointError,
            r"the teacher is of another .*channels 8 \(here 12",
        ),
        (
            {"student": wider, "student_from": str(plan.given_teacher)},
            CheckpointError,
            r"students' start .*best\.pt is of another .*channels 8 \(here 12",
        ),
        ({"student_from": PRETRAINED}, BackboneError, "Lite encoders have no public"),
        ({"student": lost, "student_from": None}, CheckpointError, r"lost\.pt: no such file"),
        (
            {"student": elsewhere},
            ConfigError,
            r"same images.* data\.val_split \(teacher val, student train\)",
        ),
        (
            {"student": toy_config({"data.train_split": "trian"})},
            DataError,
            "trian",
        ),
        ({"given_teacher": tmp_path / "no.pt"}, CheckpointError, "no such file"),
        ({"given_teacher": plan.given_teacher.parent}, CheckpointError, r"use .*/best\.pt"),
        ({"student_from": str(tmp_path / "empty")}, CheckpointError, "empty is a folder; name a"),
        (
            {"student_from": "techer"},
            ConfigError,
            "'techer': it is neither scratch, pretrained nor",
        ),
        (
            {"labels": PseudoLabelConfig(class_thresholds={"b": 0.7})},
            DataError,
            "does not know this",
        ),
        ({"rounds": 0}, ConfigError, "at least 1"),
    ):
        with pytest.raises(kind, match=message):
            run(replace(plan, **changed), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_output_folder(plan, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file is a file; choose another `output`"):
        run(plan, tmp_path / "file")


def test_a_run_of_another_origin_is_left_alone(plan, toy_run, tmp_path):
    student = tmp_path / "out" / "round1" / "student"
    student.mkdir(parents=True)
    (student / "last.pt").write_bytes((toy_run.folder / "last.pt").read_bytes())
    with pytest.raises(CheckpointError, match="holds a run that `eseg self-train` did not begin"):
        run(plan, tmp_path / "out")
    with pytest.raises(CheckpointError, match=f"{toy_run.folder} holds a run that"):
        run(plan, toy_run.folder)


def test_two_processes_by_the_command_line(plan, finished, unlabelled, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(to_plain(plan.student)))
    words = ["self-train", path, "--unlabelled", unlabelled, "--teacher", plan.given_teacher]
    words += [
        "--scales=1",
        "--threshold=0.4",
        "--output",
        tmp_path / "out",
        "--device",
        "cpu",
        "train.steps=2",
    ]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, "-m", "eseg", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 x cpu" in done.stdout
    assert done.stdout.count("report ") == 1
    assert (tmp_path / "out" / "report.md").exists()
    # Each process has labelled some of the images, as one process labels all.
    masks = sorted((finished.output / "round1" / "pseudo_labels" / "labels").iterdir())
    assert len(masks) == 6
    for mask in masks:
        same = tmp_path / "out" / "round1" / "pseudo_labels" / "labels" / mask.name
        with Image.open(mask) as one, Image.open(same) as two:
            assert (np.array(one) == np.array(two)).mean() > 0.999  # threads change the rounding

    # One process finds all of it finished.
    again = CliRunner().invoke(app, [str(word) for word in words])
    assert again.exit_code == 0, again.output
    assert "finished before" in again.output
    refused = CliRunner().invoke(app, [*map(str, words), "optim.lr=0.01"])
    assert refused.exit_code == 2
    assert " optim.lr (was 0.4, now 0.01)" in " ".join(refused.output.split())
