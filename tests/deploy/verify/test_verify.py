"""Files that equal their checkpoint pass; each of the mistakes that exports are known for fails."""

import dataclasses
import importlib.util
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from torchmetrics.classification import MulticlassJaccardIndex

import eseg
from eseg.checkpoint import load_checkpoint
from eseg.config import open_split
from eseg.data.transforms import ResizeConfig
from eseg.deploy.export.onnx_format import onnx_model, save_onnx
from eseg.deploy.export.quantise import MAX_DROP
from eseg.deploy.verify.verification import Tolerance, marked, percent, worst_picture
from eseg.deploy.verify.verify import AGREEMENT, compare_logits, open_reference, verify
from eseg.errors import DataError, ExportFileError
from eseg.models import create_model
from eseg.reports.reporter import Reporter
from eseg.runtime import Predictor
from eseg.runtime.engine_table import open_engine
from eseg.runtime.onnxruntime import OnnxRuntimeEngine

FIXED = (40, 56)


def load_benchmark():
    """benchmarks/broken_exports.py, which is a script and no part of the package."""
    path = Path(__file__).parents[3] / "benchmarks" / "broken_exports.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stale(toy_run):
    """The weights of the last step, where the checkpoint has their average."""
    last = load_checkpoint(toy_run.folder / "last.pt")
    return dataclasses.replace(last, weights=last.training["network"])


@pytest.fixture(scope="module")
def exports(checkpoint, exported, stale, tmp_path_factory):
    """A good export, the same for a single size, and the benchmark's broken ones for that size."""
    folder = tmp_path_factory.mktemp("exports")
    paths = {"good": exported("any.onnx"), "fixed": exported("fixed.onnx", size=FIXED)}
    jaxtyping.config.update("jaxtyping_disable", True)  # exporters cannot trace through the checks
    for name, broken, network in load_benchmark().networks(checkpoint, stale):
        if broken and name != "stale weights":
            info = checkpoint.describe(size=FIXED, outputs=network.outputs)
            paths[name] = folder / f"{name}.onnx"
            save_onnx(onnx_model(network, FIXED), paths[name], info)
    jaxtyping.config.update("jaxtyping_disable", False)
    return paths


@pytest.fixture(scope="module")
def verified(exports, checkpoint, stale, toy_run):
    data = toy_run.config.data
    results = {name: verify(path, checkpoint, data) for name, path in exports.items()}
    return results | {"stale weights": verify(exports["good"], stale, data)}


@pytest.mark.parametrize("name", ["good", "fixed"])
def test_a_good_export_passes(verified, name):
    result = verified[name]
    assert result.failure is None
    assert result.images == 5
    assert result.agreement > 0.9999
    assert abs(result.drop) < 0.01
    assert result.clues == ()


@pytest.mark.parametrize(
    ("name", "clue"),
    [
        ("other mean and std", "normalised to [-1, 1]"),
        ("channels swapped", "red and blue"),
        ("align_corners flipped, labels", "align_corners=True"),
        ("stale weights", "other weights"),
    ],
)
def test_a_broken_export_is_caught(verified, name, clue):
    result = verified[name]
    assert result.failure is not None
    assert result.agreement < AGREEMENT["fp32"]
    (found,) = result.clues
    assert clue in found


def test_figures_are_those_of_other_means(verified, exports, stale, toy_run):
    """Against plain torch, the runtime's predictor and torchmetrics."""
    result, predict, network = (
        verified["stale weights"],
        Predictor(exports["good"]),
        stale.build_model(),
    )
    metrics = [MulticlassJaccardIndex(3, ignore_index=255, average="none") for _ in range(2)]
    equal, labelled = [], []
    for sample in open_split(toy_run.config.data, "val"):
        image = torch.from_numpy(sample.image).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            expected = network(image).argmax(1)[0].numpy()
        given = predict(sample.image).labels
        for metric, labels in zip(metrics, (expected, given), strict=True):
            metric.update(torch.tensor(labels)[None].long(), torch.tensor(sample.mask)[None].long())
        equal.append(expected == given)
        labelled.append(equal[-1][sample.mask != 255])
    assert result.agreement == pytest.approx(np.concatenate(equal, axis=None).mean(), abs=1e-4)
    assert result.labelled_agreement == pytest.approx(np.concatenate(labelled).mean(), abs=1e-4)
    assert result.worst.agreement == pytest.approx(min(map(np.mean, equal)), abs=1e-3)
    for metric, scores in zip(metrics, (result.expected, result.given), strict=True):
        assert scores.iou == pytest.approx(metric.compute().tolist(), abs=2e-3)


def test_the_checkpoint_scores_as_in_training(verified, toy_run):
    assert verified["good"].expected.miou == pytest.approx(toy_run.result.best["miou"], abs=1e-9)


def test_logits_are_compared_where_there_are_any(verified):
    assert verified["good"].logits.largest < 1e-5
    assert 0 <= verified["good"].logits.mean <= verified["good"].logits.largest
    assert verified["stale weights"].logits.largest > 1e-3
    assert verified["align_corners flipped, labels"].logits is None


def test_logits_of_another_network_are_not_compared(exports, checkpoint, verified):
    other = create_model(checkpoint.model, min_level=4)
    reference = open_reference(
        dataclasses.replace(checkpoint, model=other.config, weights=other.state_dict())
    )
    image = np.ascontiguousarray(verified["good"].worst.image)
    assert compare_logits(reference, open_engine(exports["good"]), image) is None


def test_a_package_is_compared_too(checkpoint, toy_run, monkeypatch, tmp_path):
    """Another engine than those of the other tests stands in, without compiling anything."""
    packaged = open_reference(checkpoint)
    packaged.name = "aotinductor"
    monkeypatch.setattr("eseg.deploy.verify.verify.open_engine", lambda *_, **__: packaged)
    result = verify(tmp_path / "network.pt2", checkpoint, toy_run.config.data)
    assert (result.engine, result.failure, result.logits.largest) == ("aotinductor", None, 0)


def test_a_named_engine_runs_the_file(exports, checkpoint, toy_run):
    result = verify(exports["good"], checkpoint, toy_run.config.data, engine="openvino", limit=2)
    assert (result.engine, result.failure) == ("openvino", None)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_arithmetic_sets_the_tolerance(
    exports, described, checkpoint, toy_run, precision, tmp_path
):
    info = checkpoint.describe(precision=precision)
    path = described(exports["good"], info, tmp_path / "told.onnx")
    result = verify(path, checkpoint, toy_run.config.data, limit=1)
    assert result.tolerance == Tolerance(AGREEMENT[precision], MAX_DROP)
    assert AGREEMENT["fp32"] > AGREEMENT["fp16"] > AGREEMENT["int8"]


def test_a_file_for_one_size_gets_images_of_that_size(verified, toy_model):
    result = verified["fixed"]
    assert (result.resized, verified["good"].resized) == (5, 0)
    assert result.worst.image.shape == (*FIXED, 3)
    image = torch.from_numpy(result.worst.image).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        logits = toy_model.logits(image)
    expected = F.interpolate(logits, FIXED, mode="bilinear").argmax(1)[0].numpy()
    assert (expected == result.worst.expected).mean() > 0.999


def test_file_and_checkpoint_resize_images_themselves(
    exports, described, resizing, toy_run, tmp_path
):
    """Both get the images as they are, label them at their own size, and bring them to size."""
    path = described(exports["good"], resizing.describe(), tmp_path / "resizing.onnx")
    assert Predictor(path).info.resize == resizing.resize == ResizeConfig(32)
    assert resizing.describe(size=FIXED).resize is None
    result = verify(path, resizing, toy_run.config.data)
    assert (result.failure, result.resized) == (None, 0)
    assert result.agreement > 0.9999
    split = open_split(toy_run.config.data, "val")
    assert result.worst.image.shape in {sample.image.shape for sample in split}
    sample = split[0]
    in_torch = eseg.Predictor(resizing, device="cpu")(sample.image).labels
    in_file = Predictor(path)(sample.image).labels
    assert in_file.shape == sample.mask.shape
    assert (in_file == in_torch).mean() > 0.9999


def test_a_file_or_runtime_that_does_not_resize_is_caught(
    exports, described, checkpoint, resizing, toy_run, tmp_path, monkeypatch
):
    data = toy_run.config.data
    path = described(exports["good"], checkpoint.describe(), tmp_path / "forgetful.onnx")
    assert verify(path, resizing, data).failure is not None
    path = described(exports["good"], resizing.describe(), tmp_path / "resizing.onnx")
    monkeypatch.setattr(OnnxRuntimeEngine, "preprocess", lambda _, images: images)
    assert verify(path, resizing, data).failure is not None


def test_a_limit_takes_images_from_all_over_the_split(exports, checkpoint, toy_run):
    class Listing(Reporter):
        def track(self, items, *, total=None, description=""):
            self.seen = list(items)
            return items

    reporter = Listing()
    result = verify(exports["good"], checkpoint, toy_run.config.data, limit=2, reporter=reporter)
    assert (result.images, reporter.seen) == (2, [0, 2])
    with pytest.raises(ValueError, match="at least 1"):
        verify(exports["good"], checkpoint, toy_run.config.data, limit=0)


def test_the_tolerance_decides(exports, checkpoint, toy_run, verified):
    broken = verified["channels swapped"]

    def failure(agreement, max_drop):
        path, data = exports["channels swapped"], toy_run.config.data
        return verify(path, checkpoint, data, agreement=agreement, max_drop=max_drop).failure

    assert failure(broken.agreement, broken.drop) is None
    assert "labels" in failure(broken.agreement + 1e-6, 100.0)
    assert "mIoU" in failure(0.0, broken.drop - 1e-6)


def test_other_weights_are_named(exports, checkpoint, toy_run):
    weights = {name: tensor * 1 for name, tensor in checkpoint.weights.items()}
    weights["fusion.weighted_sum.weight"][0] += 1e-6
    other = dataclasses.replace(checkpoint, weights=weights, step=7)
    result = verify(exports["good"], other, toy_run.config.data, limit=1)
    assert result.failure is None
    assert "(step 7)" in result.clues[0]


def test_what_cannot_be_compared_is_refused(exports, checkpoint, toy_run, toy_dataset, tmp_path):
    data, good = toy_run.config.data, exports["good"]
    classes = dataclasses.replace(checkpoint.classes, names=("ground", "box", "cone"))
    with pytest.raises(DataError, match=r"any.onnx has other classes.*'ball' instead of 'cone'"):
        verify(good, dataclasses.replace(checkpoint, classes=classes), data)

    described = yaml.safe_load(toy_dataset.read_text()) | {"root": str(toy_dataset.parent)}
    described["classes"][2]["name"] = "cone"
    renamed = tmp_path / "renamed.yaml"
    renamed.write_text(yaml.safe_dump(described))
    with pytest.raises(DataError, match="cone"):
        verify(good, checkpoint, dataclasses.replace(data, dataset=renamed))

    described["classes"][2]["name"] = "ball"
    described["ignore_index"] = [0, 1, 2, 255]
    for index, entry in enumerate(described["classes"]):
        entry["ids"] = [100 + index]
    unlabelled = tmp_path / "unlabelled.yaml"
    unlabelled.write_text(yaml.safe_dump(described))
    with pytest.raises(DataError, match="no pixel"):
        verify(good, checkpoint, dataclasses.replace(data, dataset=unlabelled), limit=1)

    with pytest.raises(ExportFileError, match="eseg export"):
        verify(toy_run.folder / "best.pt", checkpoint, data)


def test_the_picture_shows_where_labels_differ(verified):
    result = verified["channels swapped"]
    height, width = result.worst.image.shape[:2]
    picture = worst_picture(result, cell=max(height, width))
    assert picture.width >= 2 * width
    assert picture.height >= 2 * height
    same = dataclasses.replace(result.worst, given=result.worst.expected)
    marks = (marked(result.worst) != marked(same)).any(axis=2)
    differs = result.worst.expected != result.worst.given
    assert marks[differs].all()
    assert marks.sum() <= 9 * differs.sum()


def test_shares_are_rounded_down():
    assert [percent(share) for share in (1.0, 0.999999, 0.5, 0.0)] == [
        "100 %",
        "99.999 %",
        "50 %",
        "0 %",
    ]
