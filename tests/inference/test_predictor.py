"""Any picture in, labels at its own size out."""

import jaxtyping
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from eseg.checkpoint import CheckpointError, load_checkpoint
from eseg.config import open_split
from eseg.data.dataset import DataError
from eseg.devices import DeviceError
from eseg.inference.labelling import label_images
from eseg.inference.predictor import Predictor


@pytest.fixture(scope="module")
def predict(toy_run):
    return Predictor(toy_run.folder / "best.pt", device="cpu")


@pytest.fixture(scope="module")
def sample(toy_run):
    return open_split(toy_run.config.data, "val")[0]


@pytest.fixture
def unchecked():
    """As users call it: without the tests' checks of annotations."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_path_picture_and_array_are_one(predict, sample, tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(sample.image).save(path)
    with Image.open(path) as picture:
        results = [predict(image) for image in (path, str(path), picture, sample.image)]
    for result in results:
        np.testing.assert_array_equal(result.image, sample.image)
        np.testing.assert_array_equal(result.labels, results[0].labels)
        np.testing.assert_array_equal(result.confidence, results[0].confidence)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (33, 47), (130, 70)])
def test_any_size(predict, size):
    result = predict(noise(*size))
    assert result.labels.shape == result.confidence.shape == size
    assert (result.labels.dtype, result.confidence.dtype) == (np.uint8, np.float32)
    assert result.labels.max() < 3
    assert (result.confidence > 0).all()
    assert (result.confidence <= 1).all()
    assert sum(result.share().values()) == pytest.approx(1)


@torch.no_grad()
def test_confidence_is_the_probability_of_the_label(predict, toy_model, sample):
    result = predict(sample.image)
    x = torch.from_numpy(sample.image.copy()).permute(2, 0, 1)[None] / 255
    logits = F.interpolate(toy_model.logits(x), sample.mask.shape, mode="bilinear")
    expected = logits.softmax(1)[0].gather(0, torch.from_numpy(result.labels)[None].long())[0]
    np.testing.assert_allclose(result.confidence, expected.numpy(), atol=1e-3)
    assert (result.confidence > 1 / 3 - 1e-6).all()


@pytest.mark.parametrize(("scales", "flip"), [((1.0,), False), ((0.5, 1.0), True)])
def test_labels_are_those_that_evaluation_counts(toy_run, toy_model, sample, scales, flip):
    predict = Predictor(toy_run.folder / "best.pt", device="cpu", scales=scales, flip=flip)
    x = torch.from_numpy(sample.image.copy()).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        counted = label_images(toy_model, x, scales=scales, flip=flip)[0][0].numpy()
    result = predict(sample.image)
    assert (result.labels == counted).mean() > 0.999  # folding changes the order of rounding
    assert len(np.unique(counted)) > 1
    assert (result.labels == sample.mask)[sample.mask != 255].mean() > 0.8


def test_a_loaded_checkpoint_serves_too(toy_run, predict, sample):
    again = Predictor(load_checkpoint(toy_run.folder / "best.pt"), device="cpu")
    np.testing.assert_array_equal(again(sample.image).labels, predict(sample.image).labels)


def test_the_callers_array_is_neither_needed_nor_kept(predict, sample):
    image = sample.image.copy()
    image.flags.writeable = False
    result = predict(image)
    assert not np.shares_memory(result.image, image)
    upside_down = predict(image[::-1])  # a view with a negative stride
    np.testing.assert_array_equal(upside_down.image, image[::-1])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 5, 3), np.float32),
        np.zeros((4, 5, 3), np.int64),
        np.zeros((4, 5), np.uint8),
        np.zeros((4, 5, 4), np.uint8),
        np.zeros((3, 4, 5), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(predict, image):
    with pytest.raises(DataError, match=rf"uint8 of shape.*not {image.dtype} of"):
        predict(image)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "LA"])
def test_pictures_of_8_bits_become_rgb(predict, sample, mode):
    picture = Image.fromarray(sample.image).convert(mode)
    np.testing.assert_array_equal(predict(picture).image, np.array(picture.convert("RGB")))


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_pictures_without_a_range_are_refused(predict, mode):
    with pytest.raises(DataError, match=f"mode {mode} .*8 bits"):
        predict(Image.new(mode, (8, 8)))


def test_files_that_cannot_be_used(predict, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    for name in ("text.png", "gone.png"):
        with pytest.raises(DataError, match=name):
            predict(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"gone\.pt"):
        Predictor(tmp_path / "gone.pt")
    with pytest.raises(CheckpointError, match=r"text\.png"):
        Predictor(tmp_path / "text.png")


def test_a_missing_device_is_named(toy_run):
    with pytest.raises(DeviceError, match="abacus"):
        Predictor(toy_run.folder / "best.pt", device="abacus")


def test_labels_survive_the_file(predict, sample, tmp_path):
    result = predict(sample.image)
    result.save(tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.array(picture), result.labels)
        np.testing.assert_array_equal(np.array(picture.convert("RGB")), result.colours())


def test_overlay(predict, sample):
    result = predict(sample.image)
    np.testing.assert_array_equal(np.array(result.overlay(0.0)), sample.image)
    np.testing.assert_array_equal(np.array(result.overlay(1.0)), result.colours())
    height, width = sample.mask.shape
    with_legend = np.array(result.overlay(legend=True))
    assert with_legend.shape[0] > height
    np.testing.assert_array_equal(with_legend[:height, :width], np.array(result.overlay()))


def test_share(predict, sample):
    result = predict(sample.image)
    share = result.share()
    assert list(share.values()) == sorted(share.values(), reverse=True)
    assert share["ground"] == pytest.approx((result.labels == 0).mean())
