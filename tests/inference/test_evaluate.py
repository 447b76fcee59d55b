"""The counts of a split against plain torch and NumPy; scores of checkpoints and their exports."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from PIL import Image

from eseg.checkpoint import load_checkpoint
from eseg.config import open_split
from eseg.data.loaders import LoaderConfig, make_eval_loader
from eseg.engines.torch_engine import open_network
from eseg.errors import DataError
from eseg.inference.evaluate import count_pixels, evaluate, score
from eseg.reports.reporter import Reporter
from eseg.runtime.engine import EngineOptions
from eseg.runtime.engine_table import open_engine


@pytest.fixture(scope="module")
def val_set(toy_run):
    return open_split(toy_run.config.data, "val")


@pytest.fixture
def engine(best):
    """The network as it was trained, with options."""

    def build(**options):
        return open_network(best, "torch", EngineOptions("cpu", "fp32", **options), folded=False)

    return build


def images(val_set, rank=0, world=1):
    return make_eval_loader(val_set, rank=rank, world=world, config=LoaderConfig(workers=0))


def brute_force(model, val_set, label):
    """Pixel by pixel pairs, counted by NumPy."""
    counts = np.zeros((3, 3), int)
    for index in range(len(val_set)):
        image, mask, _ = val_set[index]
        x = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
        predicted = label(x, mask.shape).squeeze(0).numpy()
        np.add.at(counts, (mask[mask != 255], predicted[mask != 255]), 1)
    return counts


def assert_almost_equal_counts(ours, theirs):
    """Equal but for pixels where two classes tie in floating point."""
    assert ours.sum() == theirs.sum()
    assert np.abs(ours - theirs).sum() <= 1e-3 * theirs.sum()


@torch.no_grad()
def test_equal_to_interpolation_and_argmax(toy_model, engine, val_set):
    def label(x, size):
        return F.interpolate(toy_model.logits(x), size, mode="bilinear").argmax(1)

    ours = count_pixels(engine(), images(val_set)).matrix.numpy()
    assert_almost_equal_counts(ours, brute_force(toy_model, val_set, label))
    assert (ours.sum(0) > 0).all()  # a network that says one class everywhere would prove little
    assert (ours.sum(1) > 0).all()


@torch.no_grad()
def test_scales_and_flip_take_effect(toy_model, engine, val_set):
    def label(x, size):
        half = [round(side / 2) for side in size]
        total = 0
        for scaled in (x, F.interpolate(x, half, mode="bilinear", antialias=True)):
            for flipped in (False, True):
                logits = toy_model.logits(scaled.flip(3) if flipped else scaled)
                probs = F.interpolate(logits, size, mode="bilinear").softmax(1)
                total = total + (probs.flip(3) if flipped else probs)
        return total.argmax(1)

    ours = count_pixels(engine(scales=(0.5, 1.0), flip=True), images(val_set))
    assert_almost_equal_counts(ours.matrix.numpy(), brute_force(toy_model, val_set, label))
    plain = count_pixels(engine(), images(val_set))
    assert not torch.equal(ours.matrix, plain.matrix)


@pytest.mark.parametrize("world", [2, 3, 7])
def test_shares_sum_to_the_whole(engine, val_set, world):
    engine = engine()
    whole = count_pixels(engine, images(val_set)).matrix
    shares = [count_pixels(engine, images(val_set, rank, world)).matrix for rank in range(world)]
    assert torch.equal(sum(shares), whole)


def test_every_image_is_visited_with_its_labels(engine, val_set):
    seen = {}
    count_pixels(
        engine(),
        images(val_set),
        visitors=[lambda item, labels: seen.update({item.name: (item, labels)})] * 2,
    )
    assert len(seen) == len(val_set)
    for sample in map(val_set.__getitem__, range(len(val_set))):
        item, labels = seen[sample.name]
        assert (labels.dtype, labels.shape) == (np.uint8, sample.mask.shape)
        assert labels.max() < 3
        np.testing.assert_array_equal(item.image.numpy(), sample.image)
        np.testing.assert_array_equal(item.mask.numpy(), sample.mask)


def test_a_checkpoint_scores_as_in_training(best, toy_run, toy_dataset, tmp_path):
    class Recorder(Reporter):
        def track(self, items, *, total=None, description=""):
            told.append((total, description))
            return items

    told = []
    kept = toy_run.result.best["miou"]
    for network in (best, load_checkpoint(best)):
        ours = evaluate(network, toy_dataset, device="cpu", save=tmp_path, reporter=Recorder())
        assert ours.miou == pytest.approx(kept, abs=1e-9)
    assert told == [(5, "evaluating")] * 2

    saved = sorted(tmp_path.rglob("*.png"))
    assert [p.relative_to(tmp_path).as_posix() for p in saved] == [
        f"val/{name}.png" for name in ("10", "11", "12", "8", "9")
    ]
    with Image.open(saved[0]) as picture:
        assert picture.mode == "P"
        labels = open_network(best, "torch", EngineOptions("cpu", "fp32"), folded=False).label(
            np.asarray(Image.open(toy_dataset.parent / "val" / "10.png"))[None]
        )
        np.testing.assert_array_equal(np.asarray(picture), labels.ids[0])


@pytest.mark.parametrize(("name", "kind"), [("any.onnx", "openvino"), ("any.xml", None)])
def test_an_exported_file_scores_like_its_checkpoint(exported, toy_run, val_set, name, kind):
    data, path = toy_run.config.data, exported(name)
    expected = toy_run.result.best
    ours = evaluate(path, data, engine=kind)
    assert ours.miou == pytest.approx(expected["miou"], abs=1e-3)
    assert ours.iou == pytest.approx(expected["iou"], abs=1e-3)
    loaded = open_engine(path, engine=kind)
    assert evaluate(loaded, data).to_dict() == ours.to_dict()
    assert score(loaded, val_set).to_dict() == ours.to_dict()


def test_a_data_set_of_other_classes_is_refused(best, exported, toy_run, toy_dataset, tmp_path):
    described = yaml.safe_load(toy_dataset.read_text()) | {"root": str(toy_dataset.parent)}
    described["classes"][2]["name"] = "cone"
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(described))
    for network in (best, exported("any.onnx")):
        for data in (other, replace(toy_run.config.data, dataset=other)):
            with pytest.raises(DataError, match=r"other\.yaml .*the network.* 'cone' .* 'ball'"):
                evaluate(network, data, device="cpu")


def test_scales_that_mean_nothing_are_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match="`scales`"):
        evaluate(tmp_path / "gone.pt", tmp_path / "gone.yaml", scales=(0.0,))
