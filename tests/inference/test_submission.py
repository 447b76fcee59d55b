"""Files for test servers, judged by the official evaluation where there is one to install."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling
from PIL import Image
from typer.testing import CliRunner

from eseg.checkpoint import Checkpoint, save_checkpoint
from eseg.cli import app
from eseg.config import DataConfig, class_table
from eseg.data.ade20k import UNLABELLED
from eseg.errors import DataError, OutputError
from eseg.inference.evaluate import evaluate
from eseg.metrics import confusion_matrix, scores
from eseg.models import ModelConfig, create_model
from eseg.runtime.engine import Labels


@pytest.fixture(scope="module")
def network(official_root):
    """Makes an untrained network for the classes of an official data set, and its data."""

    def make(name):
        data = DataConfig(Path(name), official_root(name))
        classes = class_table(data)
        torch.manual_seed(0)
        model = create_model(
            ModelConfig(
                backbone="lite", width=0.2, depth=0.3, min_level=3, max_level=5, channels=8,
                repeats=1, num_classes=len(classes),
            )
        )  # fmt: skip
        return Checkpoint(model.config, classes, model.state_dict(), step=0), data

    return make


@pytest.fixture
def guesses(monkeypatch):
    """Every class is predicted somewhere, right or wrong, as no small network would."""

    def guess(engine, images):
        rng = np.random.default_rng(int(images.sum()))
        labels = rng.integers(0, len(engine.info.names), images.shape[1:3], np.uint8)
        labels[::2] = np.arange(labels[::2].size).reshape(labels[::2].shape) * 19 // labels.size
        return Labels(labels[None], None)

    monkeypatch.setattr("eseg.engines.torch_engine.TorchEngine.label", guess)


def judge_cityscapes(root, folder):
    """What the official script says of the files in a folder, found by it."""
    args = copy.copy(evalPixelLevelSemanticLabeling.args)
    args.predictionPath, args.predictionWalk = str(folder), None
    args.quiet, args.JSONOutput = True, False
    args.evalInstLevelScore = False  # It scores instances, and calls what NumPy has not any more.
    truth = sorted(map(str, (root / "gtFine" / "val").rglob("*_gtFine_labelIds.png")))
    given = [evalPixelLevelSemanticLabeling.getPrediction(args, path) for path in truth]
    return evalPixelLevelSemanticLabeling.evaluateImgLists(given, truth, args)


def judge_ade20k(pairs):
    """Mean IoU and pixel accuracy as the development kit defines them; 0 is unlabelled."""
    intersection, union = np.zeros(151), np.zeros(151)
    right = labelled = 0
    for predicted, truth in pairs:
        predicted = predicted * (truth > 0)
        both = predicted * (predicted == truth)
        areas = [np.bincount(ids.ravel(), minlength=151) for ids in (both, predicted, truth)]
        intersection += areas[0]
        union += areas[1] + areas[2] - areas[0]
        right += ((predicted == truth) & (truth > 0)).sum()
        labelled += (truth > 0).sum()
    iou = intersection[1:] / (np.finfo(float).eps + union[1:])
    return iou.mean(), right / labelled


def test_the_official_script_gives_cityscapes_mean_iou(network, guesses, tmp_path):
    checkpoint, data = network("cityscapes")
    ours = evaluate(checkpoint, data, "val", device="cpu", submission=tmp_path)
    theirs = judge_cityscapes(data.root, tmp_path)
    assert ours.miou == pytest.approx(theirs["averageScoreClasses"], abs=1e-6)
    for name, iou in zip(checkpoint.classes.names, ours.iou, strict=True):
        assert iou == pytest.approx(theirs["classScores"][name], abs=1e-6)
    # A class that is predicted but nowhere true counts, in both.
    assert ours.support[checkpoint.classes.names.index("rider")] == 0
    assert theirs["classScores"]["rider"] == 0
    counted = sum(support > 0 for support in ours.support)
    assert ours.miou == pytest.approx(sum(ours.iou) / (counted + 1))


def test_cityscapes_files_are_what_the_server_reads(network, guesses, tmp_path):
    checkpoint, data = network("cityscapes")
    evaluate(checkpoint, data, "val", device="cpu", submission=tmp_path / "new" / "files")
    files = sorted((tmp_path / "new" / "files").iterdir())
    assert [file.name for file in files] == [
        "frankfurt_000000_000019_labelIds.png",
        "frankfurt_000001_000019_labelIds.png",
        "munster_000000_000019_labelIds.png",
    ]
    sizes = [(65, 33), (67, 33), (65, 33)]
    for file, size in zip(files, sizes, strict=True):
        with Image.open(file) as picture:
            assert (picture.mode, picture.size) == ("L", size)
            ids = {*np.unique(picture)}
        evaluated = {x.id for x in evalPixelLevelSemanticLabeling.labels if not x.ignoreInEval}
        assert ids == evaluated


def test_train_ids_on_the_disk_change_nothing_in_the_files(
    network, guesses, official_root, tmp_path
):
    checkpoint, data = network("cityscapes")
    root = tmp_path / "root"
    for path in official_root("cityscapes").rglob("*/val/*/*.png"):
        copied = root / path.relative_to(data.root)
        copied.parent.mkdir(parents=True, exist_ok=True)
        if path.name.endswith("labelIds.png"):
            train_ids = {x.id: x.trainId for x in evalPixelLevelSemanticLabeling.labels}
            mapped = np.vectorize(train_ids.get)(np.array(Image.open(path))).astype(np.uint8)
            name = path.name.replace("labelIds", "labelTrainIds")
            Image.fromarray(mapped).save(copied.with_name(name))
        else:
            copied.write_bytes(path.read_bytes())
    places = (DataConfig(data.dataset, root), "trained"), (data, "raw")
    results = [
        evaluate(checkpoint, place, "val", device="cpu", submission=tmp_path / name)
        for place, name in places
    ]
    assert results[0].to_dict() == results[1].to_dict()
    for file in (tmp_path / "raw").iterdir():
        assert file.read_bytes() == (tmp_path / "trained" / file.name).read_bytes()


def test_the_development_kit_gives_ade20k_scores(network, guesses, tmp_path):
    checkpoint, data = network("ade20k")
    ours = evaluate(checkpoint, data, "val", device="cpu", submission=tmp_path)
    pairs = []
    for file in sorted(tmp_path.iterdir()):
        truth = data.root / "annotations" / "validation" / file.name
        pairs.append((np.array(Image.open(file)), np.array(Image.open(truth))))
        assert pairs[-1][0].dtype == np.uint8
        assert UNLABELLED not in pairs[-1][0]
    assert [file.name for file in sorted(tmp_path.iterdir())] == [
        "ADE_val_00000001.png",
        "ADE_val_00000002.png",
    ]
    assert min(ours.support) > 0
    miou, accuracy = judge_ade20k(pairs)
    assert ours.miou == pytest.approx(miou, abs=1e-6)
    assert ours.pixel_accuracy == pytest.approx(accuracy, abs=1e-6)


def test_ade20k_counts_a_class_that_is_only_predicted():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 150, (40, 50))  # class 150 is nowhere true
    predicted = rng.integers(1, 151, (40, 50))
    predicted[1, :] = 150
    mask = torch.from_numpy(np.where(truth > 0, truth - 1, 255))
    ours = scores(confusion_matrix(torch.from_numpy(predicted - 1), mask, 150), absent_counts=True)
    miou, accuracy = judge_ade20k([(predicted, truth)])
    assert ours.miou == pytest.approx(miou, abs=1e-6)
    assert ours.pixel_accuracy == pytest.approx(accuracy, abs=1e-6)


def test_vistas_files_hold_the_places_in_the_config(network, guesses, tmp_path):
    checkpoint, data = network("vistas_v2")
    evaluate(checkpoint, data, "test", device="cpu", submission=tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.name == "_t1.png"
    labels = json.loads((data.root / "config_v2.0.json").read_text())["labels"]
    evaluated = {i for i, label in enumerate(labels) if label["evaluate"]}
    found = {*np.unique(Image.open(file)).tolist()}
    assert found <= evaluated
    assert max(found) > 115


def test_what_is_in_the_folder_already(network, guesses, tmp_path):
    checkpoint, data = network("cityscapes")
    for _ in range(2):  # The same files again are welcome.
        evaluate(checkpoint, data, "val", device="cpu", submission=tmp_path)
    with pytest.raises(DataError, match=r"holds 'frankfurt_000000_000019_labelIds.png' and more"):
        evaluate(checkpoint, data, "test", device="cpu", submission=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file: cannot be written .*another `submission`"):
        evaluate(checkpoint, data, "val", device="cpu", submission=tmp_path / "file")


def test_the_command(network, tmp_path):
    checkpoint, data = network("cityscapes")
    save_checkpoint(checkpoint, tmp_path / "net.pt")

    def call(*words):
        words = ["evaluate", tmp_path / "net.pt", *words, "--device", "cpu"]
        return CliRunner().invoke(app, [str(word) for word in words])

    words = ["--data", "cityscapes", "--root", data.root]
    test = call(*words, "--split", "test", "--submission", tmp_path / "test")
    assert test.exit_code == 0, test.output
    assert "no scores: split 'test' has no pixel with a label" in test.output
    assert "2 files for the test server in" in test.output
    assert len([*(tmp_path / "test").iterdir()]) == 2

    val = call(*words, "--submission", tmp_path / "val")
    assert val.exit_code == 0, val.output
    theirs = judge_cityscapes(data.root, tmp_path / "val")["averageScoreClasses"]
    assert f"{theirs:.4f}" in val.output

    refused = call(*words, "--split", "test")
    assert refused.exit_code == 2
    assert "--submission" in refused.output


def test_data_sets_without_a_server(network, tmp_path):
    checkpoint, data = network("camvid")
    with pytest.raises(DataError, match=r"servers of cityscapes, ade20k, vistas.*camvid has none"):
        evaluate(checkpoint, data, "val", device="cpu", submission=tmp_path / "files")
    assert not [*tmp_path.iterdir()]
