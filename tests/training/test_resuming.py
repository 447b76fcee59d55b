"""Resumed equals uninterrupted, wherever a run is broken off; and what resuming refuses."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from eseg.checkpoint import load_checkpoint, save_checkpoint
from eseg.config import to_plain
from eseg.errors import CheckpointError, DataError, OutputError
from eseg.models import create_model
from eseg.runtime import writing
from eseg.training import resuming, run_folder, trainer
from eseg.training.run_folder import read_log
from eseg.training.run_settings import list_changes
from eseg.training.step import Stepper


def changed_checkpoint(path, **changes):
    save_checkpoint(replace(load_checkpoint(path), **changes), path)


@pytest.fixture
def config(toy_config):
    """Log lines, checkpoints and evaluations fall on different steps."""
    return toy_config(
        {
            "train.steps": 8,
            "train.eval_every": 3,
            "train.checkpoint_every": 4,
            "train.log_every": 3,
            "augment.brightness": 0.3,
        }
    )


def test_resumed_equals_uninterrupted(train, train_until, same_runs, config, tmp_path):
    accumulating = replace(config, train=replace(config.train, accumulate=2))
    train(accumulating, "whole")
    train_until(5, accumulating, "halves")
    assert load_checkpoint(tmp_path / "halves/last.pt").step == 4
    # The number of workers may change, since it does not affect the batches.
    with_a_worker = replace(accumulating, loader=replace(config.loader, workers=1))
    train(with_a_worker, "halves", resume=True)
    same_runs(tmp_path / "whole", tmp_path / "halves")
    optimizer = load_checkpoint(tmp_path / "whole/last.pt").training["optimizer"]
    assert any(s["momentum_buffer"].abs().max() > 0 for s in optimizer["state"].values())


BREAKS = [
    (trainer, "create_model", 1, None),
    (writing, "_flush_to_disk", 1, None),  # config.yaml
    (writing, "_flush_to_disk", 3, None),  # log.jsonl
    (writing, "_flush_to_disk", 5, None),  # the first last.pt
    (Stepper, "step", 3, 0),
    (trainer, "count_pixels", 1, 0),
    (writing, "_flush_to_disk", 5, 0),  # best.pt
    (run_folder, "save_checkpoint", 2, 0),  # between best.pt and last.pt
    (Path, "replace", 5, None),  # last.pt is previous.pt already, and the new one not there yet
    (Path, "replace", 4, None),  # the same, where there was no last.pt to rename
    (Stepper, "step", 5, 4),
    (writing, "_flush_to_disk", 5, 4),  # a later last.pt
    (Path, "replace", 3, 4),  # before last.pt becomes previous.pt
    (Path, "replace", 4, None),
    (trainer, "count_pixels", 1, None),
    (trainer, "count_pixels", 2, 6),
    (run_folder.RunFolder, "report", 1, 8),
]
"""Where a run is broken off, before this is called for the n-th time since it was resumed, and the
step of the last.pt that is there then."""


def test_a_run_broken_off_again_and_again_equals_an_unbroken_one(
    train, same_runs, config, tmp_path, monkeypatch
):
    train(config, "whole")
    for owner, name, number, step in BREAKS:
        calls = []
        original = getattr(owner, name)

        def call_or_break_off(*arguments, _calls=calls, _call=original, _last=number, **options):
            _calls.append(arguments)
            if len(_calls) == _last:
                raise KeyboardInterrupt
            return _call(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, call_or_break_off)
            # Nothing is tidied up: the process is gone.
            patch.setattr(Path, "unlink", lambda *_, **__: None)
            with pytest.raises(KeyboardInterrupt):
                train(config, "pieces", resume=True)
        last = tmp_path / "pieces" / "last.pt"
        assert (load_checkpoint(last).step if last.exists() else None) == step, (name, number)
    for name in ("config.yaml", "last.pt", "best.pt", "log.jsonl"):
        (tmp_path / "pieces" / f".{name}.4711").touch()  # by a process of another number
    train(config, "pieces", resume=True)
    same_runs(tmp_path / "whole", tmp_path / "pieces")
    hidden = [file.name for file in (tmp_path / "pieces").iterdir() if file.name.startswith(".")]
    assert hidden == [writing.LOCK], "what was half written is removed"
    events = EventAccumulator(str(tmp_path / "pieces/tensorboard")).Reload()
    for key in ("loss", "miou"):
        logged = [r for r in read_log(tmp_path / "whole/log.jsonl") if key in r]
        shown = [(event.step, event.value) for event in events.Scalars(key)]
        assert shown == [(r["step"], pytest.approx(r[key])) for r in logged]


def test_drop_out_goes_on_too(train, train_until, same_runs, config, tmp_path, monkeypatch):
    def create_with_drop_out(*arguments, **options):
        model = create_model(*arguments, **options)
        model.fusion = nn.Sequential(model.fusion, nn.Dropout(0.5))
        return model

    monkeypatch.setattr(trainer, "create_model", create_with_drop_out)
    train(config, "whole")
    train_until(5, config, "halves")
    torch.manual_seed(123)
    train(config, "halves", resume=True)
    same_runs(tmp_path / "whole", tmp_path / "halves")


def test_resuming_a_finished_run_changes_nothing(train, toy_config, same_values, tmp_path):
    config = toy_config({"train.steps": 2})
    first = train(config)
    before = load_checkpoint(tmp_path / "run/last.pt")
    again = train(config, resume=True)
    same_values(before.training, load_checkpoint(tmp_path / "run/last.pt").training)
    assert again.best == first.best


def test_lost_best_weights_of_a_finished_run_are_those_of_its_last_step(
    train, recorder, toy_config, tmp_path
):
    config = toy_config({"train.steps": 2})
    first = train(config)
    (tmp_path / "run/best.pt").unlink()
    log = read_log(tmp_path / "run/log.jsonl")
    again = train(config, resume=True)
    assert read_log(tmp_path / "run/log.jsonl") == log
    assert any("of the last step's weights if no step is left" in x for x in recorder.lines)
    assert again.last_miou == first.last_miou
    assert again.best == load_checkpoint(tmp_path / "run/best.pt").scores
    assert again.best == load_checkpoint(tmp_path / "run/last.pt").training["best"]


def test_where_nothing_is_yet_resuming_starts(train, recorder, same_runs, toy_config, tmp_path):
    config = toy_config({"train.steps": 2})
    train(config, "started")
    assert not any("resume" in line for line in recorder.lines)
    train(config, "resumed", resume=True)
    assert any("nothing to resume" in line for line in recorder.lines)
    same_runs(tmp_path / "started", tmp_path / "resumed")


def test_a_folder_that_holds_a_run_is_refused(toy_run):
    with pytest.raises(CheckpointError, match=r"holds a run already.*`resume`"):
        trainer.train(toy_run.config, toy_run.folder, device="cpu")


def test_resuming_another_run_names_what_differs(toy_run):
    other = replace(
        toy_run.config,
        optim=replace(toy_run.config.optim, lr=0.5),
        train=replace(toy_run.config.train, log_every=1),
    )
    with pytest.raises(CheckpointError, match=r"optim\.lr \(was 0\.4, now 0\.5\)") as caught:
        trainer.train(other, toy_run.folder, device="cpu", resume=True)
    assert "log_every" not in str(caught.value)


def test_a_run_goes_on_where_its_data_and_weights_have_moved(
    train, train_until, toy_config, toy_dataset, tmp_path
):
    config = toy_config({"train.steps": 4, "train.checkpoint_every": 2})
    train_until(2, config)
    moved = replace(
        config,
        data=replace(config.data, root=toy_dataset.parent),
        init=replace(config.init, pretrained_backbone=tmp_path / "gone.pth"),
    )
    train(moved, resume=True)
    assert load_checkpoint(tmp_path / "run/last.pt").step == 4


def test_pseudo_labels_may_move_too(toy_config, tmp_path):
    before = to_plain(toy_config({"data.pseudo": {"dataset": "/a/dataset.yaml", "fraction": 0.5}}))
    moved = {"dataset": "/b/dataset.yaml", "root": "/b", "fraction": 0.25}
    now = to_plain(toy_config({"data.pseudo": moved}))
    assert list_changes(before, now, resuming.CHANGEABLE_KEYS) == [
        "data.pseudo.fraction (was 0.5, now 0.25)"
    ]


def test_a_best_checkpoint_is_nothing_to_go_on_from(toy_run, tmp_path):
    for name in ("best.pt", "last.pt"):
        shutil.copy(toy_run.folder / "best.pt", tmp_path / name)
    with pytest.raises(CheckpointError, match=r"last\.pt .* no state to resume.*copy of best\.pt"):
        trainer.train(toy_run.config, tmp_path, device="cpu", resume=True)
    (tmp_path / "last.pt").unlink()
    for resume in (False, True):
        with pytest.raises(CheckpointError, match=r"best\.pt exists and would be overwritten"):
            trainer.train(toy_run.config, tmp_path, device="cpu", resume=resume)


@pytest.fixture
def broken_off(run_of_five_steps, tmp_path):
    """A copy of such a run, to be spoilt or finished, and its config."""
    config, folder = run_of_five_steps
    return config, Path(shutil.copytree(folder, tmp_path / "run"))


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_offered(
    broken_off, train, same_runs, tmp_path
):
    config, folder = broken_off
    damage(folder / "last.pt")
    with pytest.raises(CheckpointError, match=r"last\.pt: damaged.*step 2, is intact") as caught:
        train(config, resume=True)
    source, target = str(caught.value).partition(": mv ")[2].partition(",")[0].split()
    shutil.move(source, target)  # as the message says
    train(config, resume=True)
    train(config, "whole")
    same_runs(tmp_path / "whole", folder)


def test_where_all_are_damaged_best_weights_are_offered(broken_off, train):
    config, folder = broken_off
    for name in ("last.pt", "previous.pt"):
        damage(folder / name)
    offer = rf"last\.pt: damaged.*none before it.*init\.checkpoint={folder}/best\.pt"
    with pytest.raises(CheckpointError, match=offer):
        train(config, resume=True)
    (folder / "last.pt").unlink()
    with pytest.raises(CheckpointError, match=r"previous\.pt: damaged.*none before it"):
        train(config, resume=True)


def test_a_folder_with_only_the_one_before_holds_a_run(broken_off, train, recorder):
    config, folder = broken_off
    (folder / "last.pt").unlink()
    with pytest.raises(CheckpointError, match="holds a run already"):
        train(config)
    train(config, resume=True)
    assert f"going on from {folder}/previous.pt, step 2" in recorder.lines


def test_damaged_best_weights_are_noticed_before_any_step(broken_off, train, recorder):
    config, folder = broken_off
    damage(folder / "best.pt")
    with pytest.raises(CheckpointError, match=rf"best\.pt: damaged.*rm {folder}/best\.pt"):
        train(config, resume=True)
    (folder / "best.pt").unlink()  # as the message says
    result = train(config, resume=True)
    assert any("best weights so far (mIoU" in line for line in recorder.lines)
    assert result.best == load_checkpoint(folder / "best.pt").scores
    assert load_checkpoint(folder / "best.pt").step == 6


@pytest.mark.parametrize(
    "spoilt", [{"loss": None}, {"loss": 3}, {"optimizer": {}}, {"network": {}}]
)
def test_a_training_state_that_does_not_fit_is_refused(broken_off, train, spoilt):
    config, folder = broken_off
    training = load_checkpoint(folder / "last.pt").training | spoilt
    training = {key: value for key, value in training.items() if value is not None}
    changed_checkpoint(folder / "last.pt", training=training)
    with pytest.raises(CheckpointError, match="to go on from is not of this version"):
        train(config, resume=True)


def test_other_classes_are_refused(broken_off, train):
    config, folder = broken_off
    classes = load_checkpoint(folder / "last.pt").classes
    renamed = replace(classes, names=("ground", "box", "cone"))
    changed_checkpoint(folder / "last.pt", classes=renamed)
    with pytest.raises(DataError, match=r"last\.pt: class 2 is 'ball' instead of 'cone'"):
        train(config, resume=True)


def test_processes_that_see_different_folders_do_not_begin(broken_off, train, monkeypatch):
    config, folder = broken_off
    asked = []

    def differs(step, processes):
        asked.append(step)
        return False

    monkeypatch.setattr(trainer, "is_same_everywhere", differs)
    with pytest.raises(CheckpointError, match=f"{folder}: .*do not find the same checkpoint"):
        train(config, resume=True)
    assert asked == [4]


def test_a_disk_that_fills_up_leaves_the_last_checkpoint(
    train, same_runs, toy_config, tmp_path, monkeypatch
):
    config = toy_config({"train.steps": 6, "train.checkpoint_every": 2})
    train(config, "whole")
    save = torch.save

    def save_or_fail(content, file):
        if content["step"] == 4:
            file.write(b"half a checkpoint")
            raise OSError(28, "No space left on device")
        save(content, file)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", save_or_fail)
        with pytest.raises(OutputError, match=r"last\.pt: .*No space left.*make room"):
            train(config)
    assert load_checkpoint(tmp_path / "run/last.pt").step == 2
    train(config, resume=True)
    same_runs(tmp_path / "whole", tmp_path / "run")


def test_a_log_that_cannot_be_written_names_the_folder(broken_off, tmp_path, monkeypatch):
    config, folder = broken_off
    classes = load_checkpoint(folder / "last.pt").classes
    target = run_folder.RunFolder(folder, config, classes, step=4, active=True)
    with Path("/dev/full").open("ab") as full:
        os.dup2(full.fileno(), target._log._file.fileno())
    with pytest.raises(OutputError, match=rf"{folder}: cannot be written .*No space left"):
        target.log(5, loss=1.0)
    target.close()


def test_a_run_keeps_others_out_of_its_folder(train, toy_config, tmp_path):
    config = toy_config({"train.steps": 2})
    with (
        writing.sole_writer(tmp_path / "run"),
        pytest.raises(OutputError, match=rf"{tmp_path}/run: another process is writing"),
    ):
        train(config)
    assert train(config).checkpoint.is_file()


def test_the_checkpoint_to_resume_from_is_said(broken_off, recorder):
    config, folder = broken_off
    classes = load_checkpoint(folder / "last.pt").classes
    found = resuming.find_resumable(folder, config, classes, recorder)
    assert recorder.lines == [f"going on from {folder}/last.pt, step 4"]
    assert found.step == 4
