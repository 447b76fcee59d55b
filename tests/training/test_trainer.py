"""What a run leaves behind, and what it refuses."""

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from eseg.checkpoint import load_checkpoint
from eseg.cli.screen import RichReporter
from eseg.config import load_config, open_split, parse_config, save_config, to_plain
from eseg.errors import ConfigError, DataError, DeviceError, OutputError, TrainingError
from eseg.inference.evaluate import evaluate
from eseg.training import trainer
from eseg.training.run_folder import read_log


def test_a_run_leaves_everything_about_itself(toy_run):
    assert {path.name for path in toy_run.folder.iterdir()} == {
        ".lock", "config.yaml", "log.jsonl", "best.pt", "last.pt", "previous.pt",
        "curve.png", "sheet.png", "scores.json", "tensorboard",
    }  # fmt: skip
    assert load_config(toy_run.folder / "config.yaml") == toy_run.config
    for name in ("curve.png", "sheet.png"):
        with Image.open(toy_run.folder / name) as picture:
            assert len(np.unique(np.asarray(picture.convert("L")))) > 10


def test_every_logged_step_is_there_once(toy_run):
    records = read_log(toy_run.folder / "log.jsonl")
    steps = [r for r in records if "loss" in r]
    evaluations = [r for r in records if "miou" in r]
    assert [r["step"] for r in steps] == [*range(4, 60, 4), 60]
    assert [r["step"] for r in evaluations] == [25, 50, 60]
    assert len(steps) + len(evaluations) == len(records)
    for record in steps:
        assert record.keys() == {"step", "loss", "lr", "images_per_second", "memory_mib"}
        assert record["images_per_second"] > 0
        assert record["memory_mib"] > 10
    for record in evaluations:
        assert record.keys() == {"step", "miou", "pixel_accuracy"}


def test_it_learns(toy_run):
    losses = [r["loss"] for r in read_log(toy_run.folder / "log.jsonl") if "loss" in r]
    assert losses[0] > 0.8 * math.log(3)
    assert losses[-1] < 0.6 * losses[0]
    assert toy_run.result.best["miou"] > 0.6


def test_result_files_and_printed_lines_agree(toy_run):
    result, best = toy_run.result, load_checkpoint(toy_run.folder / "best.pt")
    assert result.checkpoint == toy_run.folder / "best.pt"
    assert result.best == best.scores
    evaluations = [r for r in read_log(toy_run.folder / "log.jsonl") if "miou" in r]
    assert result.last_miou == evaluations[-1]["miou"]
    top = max(evaluations, key=lambda r: r["miou"])
    assert (best.step, best.scores["miou"]) == (top["step"], top["miou"])
    written = json.loads((toy_run.folder / "scores.json").read_text())
    assert written == {"step": best.step, "classes": ["ground", "box", "ball"], **best.scores}
    assert f"{best.scores['miou']:.4f}" in toy_run.printed
    assert "ball" in toy_run.printed
    assert result.images_per_second > 0


def test_a_yaml_and_overrides_are_a_config(toy_config, recorder, tmp_path, capsys):
    path = tmp_path / "run.yaml"
    save_config(toy_config({"train.steps": 5}), path)
    result = trainer.train(path, tmp_path / "run", overrides=["train.steps=1"], device="cpu")
    assert load_checkpoint(tmp_path / "run/last.pt").step == 1
    assert "".join(capsys.readouterr()) == "", "without a reporter nothing is printed"
    assert f"checkpoint='{tmp_path}/run/best.pt', miou={result.best['miou']:.4f}," in repr(result)
    with pytest.raises(ConfigError, match="`overrides` change the YAML"):
        trainer.train(toy_config(), tmp_path / "other", overrides=["train.steps=1"])


def test_the_reporter_receives_every_step_and_evaluation(train, recorder, toy_config, tmp_path):
    config = toy_config({"train.steps": 5, "train.eval_every": 2})
    train(config)
    log = read_log(tmp_path / "run" / "log.jsonl")
    assert [round(loss, 6) for loss, _ in recorder.steps] == [
        round(record["loss"], 6) for record in log if "loss" in record
    ]
    evaluations = [record for record in log if "miou" in record]
    assert [step for step, *_ in recorder.evaluations] == [2, 4, 5]
    best = 0
    for (step, _, miou, accuracy, best_miou), record in zip(
        recorder.evaluations, evaluations, strict=True
    ):
        best = max(best, miou)
        assert (step, miou, accuracy) == tuple(
            record[key] for key in ("step", "miou", "pixel_accuracy")
        )
        assert best_miou == best


def test_a_folder_with_brackets_is_printed_as_it_is_called(toy_config, tmp_path):
    console = Console(file=io.StringIO())
    reporter = RichReporter(console)
    folder = tmp_path / "[exp1]"
    trainer.train(toy_config({"train.steps": 1}), folder, device="cpu", reporter=reporter)
    printed = console.file.getvalue()
    for name in ("curve.png", "sheet.png", "best.pt"):
        assert f" {tmp_path}/[exp1]/{name}" in printed


@pytest.mark.parametrize("file", ["best.pt", "last.pt"])
def test_scores_are_those_of_the_weights_in_the_file(toy_run, file):
    checkpoint = load_checkpoint(toy_run.folder / file)
    again = evaluate(checkpoint, toy_run.config.data, "val", device="cpu").to_dict()
    if file == "best.pt":
        assert again == checkpoint.scores
    else:
        assert again["miou"] == toy_run.result.last_miou


def test_images_are_brought_to_size_in_training_and_in_use(train, toy_config, toy_run, tmp_path):
    """The crops, the scores of the run and those of the file alone: all of the resized images."""
    going_on = {"init.checkpoint": str(toy_run.folder / "best.pt"), "optim.lr": 1e-3}
    going_on["train.steps"] = 2
    result = train(toy_config(going_on | {"data.resize": {"longer_side": 40}}), "resized")
    checkpoint = load_checkpoint(result.checkpoint)
    data = toy_config().data  # says nothing of a size: the checkpoint remembers it
    assert evaluate(checkpoint, data, "val", device="cpu").to_dict() == result.best
    forgetful = replace(checkpoint, run={})
    assert evaluate(forgetful, data, "val", device="cpu").to_dict() != result.best

    train(toy_config(going_on), "plain")
    logs = [read_log(tmp_path / name / "log.jsonl") for name in ("resized", "plain")]
    first, second = ([r["loss"] for r in log if "loss" in r] for log in logs)
    assert first != second


def test_best_is_for_use_and_last_for_going_on(toy_run):
    best, last = (load_checkpoint(toy_run.folder / name) for name in ("best.pt", "last.pt"))
    assert best.training == {}
    assert last.training
    assert last.step == 60
    assert parse_config(last.run) == parse_config(best.run) == toy_run.config
    trained, averaged = last.training["network"], last.weights
    assert trained.keys() == averaged.keys()
    assert not all(torch.equal(trained[name], averaged[name]) for name in trained)


def test_the_seed_decides_the_weights(train, toy_config, same_values, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(toy_config({"train.steps": 3, "seed": seed}), name)
    a, b, c = (load_checkpoint(tmp_path / name / "last.pt") for name in "abc")
    same_values(a.training, b.training)
    same_values(a.weights, b.weights)
    assert not all(torch.equal(value, c.weights[name]) for name, value in a.weights.items())


def test_a_refused_run_leaves_nothing_behind(toy_config, tmp_path):
    config = toy_config({"train.batch_size": 5, "train.accumulate": 2})
    with pytest.raises(TrainingError, match=r"batch_size 5 .* in 2 parts"):
        trainer.train(config, tmp_path / "run", device="cpu")
    with pytest.raises(DeviceError):
        trainer.train(config, tmp_path / "run", device="abacus")
    with pytest.raises(DataError, match="test"):
        trainer.train(toy_config({"data.train_split": "test"}), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_an_output_that_cannot_be_a_folder_is_named(toy_config, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/run: cannot be written"):
        trainer.train(toy_config(), tmp_path / "file" / "run", device="cpu")


def test_divergence_stops_the_run_and_says_what_to_do(train, toy_config, tmp_path):
    config = toy_config({"optim.lr": 1e30, "optim.warmup_steps": 0, "train.checkpoint_every": 1})
    with pytest.raises(TrainingError, match=r"the loss became (nan|inf).*lower optim\.lr") as first:
        train(config)
    with pytest.raises(TrainingError, match="comes to the same end: choose another") as again:
        train(config, resume=True)
    assert str(first.value) == str(again.value)


def test_a_validation_split_without_labels_is_refused(train, toy_config, monkeypatch):
    class Unlabelled:
        absent_counts = False

        def __init__(self, labelled):
            self.labelled, self.classes = labelled, labelled.classes

        def __len__(self):
            return len(self.labelled)

        def __getitem__(self, index):
            sample = self.labelled[index]
            return sample._replace(mask=sample.mask * 0 + 255)

    def open_unlabelled(data, split):
        labelled = open_split(data, split)
        return Unlabelled(labelled) if split == "val" else labelled

    monkeypatch.setattr(trainer, "open_split", open_unlabelled)
    with pytest.raises(DataError, match=r"'val' has no labelled pixel"):
        train(toy_config({"train.steps": 1}))


def test_low_precision_follows_fp32(train, toy_config, tmp_path):
    losses = {}
    for precision in ("fp32", "bf16", "fp16"):
        train(toy_config({"train.precision": precision, "train.steps": 4}), precision)
        records = read_log(tmp_path / precision / "log.jsonl")
        losses[precision] = [r["loss"] for r in records if "loss" in r]
        weights = load_checkpoint(tmp_path / precision / "last.pt").training["network"]
        assert {w.dtype for w in weights.values() if w.is_floating_point()} == {torch.float32}
    for precision in ("bf16", "fp16"):
        assert losses[precision] == pytest.approx(losses["fp32"], rel=0.05)
        assert losses[precision] != losses["fp32"]


def test_the_config_in_the_checkpoint_is_that_of_the_run(toy_run):
    assert load_checkpoint(toy_run.folder / "last.pt").run == to_plain(toy_run.config)
