"""Any picture in, an exported network's labels at its own size out, whichever engine runs it."""

import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from eseg.runtime import ExportFileError, ImageError, Predictor, Segmentation
from eseg.runtime.resizing import ResizeConfig

ENGINES = [("mean.onnx", "onnxruntime"), ("mean.onnx", "openvino"), ("mean.xml", "openvino")]

each_engine = pytest.mark.parametrize(("name", "engine"), ENGINES)


def reference(image):
    """Mean colours in torch, to the image's size: (logits at stride 8, at full size)."""
    planes = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    logits = F.avg_pool2d(planes, 8, ceil_mode=True)
    return logits[0], F.interpolate(logits, image.shape[:2], mode="bilinear")[0]


@each_engine
@pytest.mark.parametrize("size", [(8, 8), (33, 47), (64, 200)])
def test_labels_and_confidence_are_those_of_the_upsampled_logits(export, noise, name, engine, size):
    predict = Predictor(export(name), engine=engine, with_confidence=True)
    image = noise(*size)
    result = predict(image)
    logits, full = reference(image)
    np.testing.assert_allclose(predict.logits(image), logits.numpy(), rtol=1e-5)
    assert predict.logits(image).dtype == np.float32
    np.testing.assert_array_equal(result.labels, full.argmax(0).numpy())
    probs = full.softmax(0).amax(0)
    np.testing.assert_allclose(result.confidence, probs.numpy(), rtol=1e-3)
    assert (result.names, result.palette) == (predict.info.names, predict.info.palette)


@each_engine
def test_a_file_of_labels_gives_them_as_they_are(export, noise, name, engine):
    predict = Predictor(export(name, outputs="labels"), engine=engine)
    image = noise(33, 47)
    result = predict(image)
    np.testing.assert_array_equal(result.labels, image.argmax(axis=2))
    assert result.labels.dtype == np.uint8
    assert result.confidence is None


@pytest.mark.parametrize(
    ("resize", "base"), [(ResizeConfig(24), (24, 34)), (ResizeConfig(None, 94), (66, 94))]
)
def test_an_image_is_brought_to_size_and_labelled_at_its_own(export, noise, resize, base):
    predict = Predictor(export(resize=resize), with_confidence=True)
    assert predict.info.resize == resize
    image = noise(33, 47)
    small = np.asarray(Image.fromarray(image).resize(base[::-1], Image.Resampling.BILINEAR))
    logits, _ = reference(small)
    full = F.interpolate(logits[None], (33, 47), mode="bilinear")[0]
    np.testing.assert_allclose(predict.logits(image), logits.numpy(), rtol=1e-5)
    result = predict(image)
    np.testing.assert_array_equal(result.image, image)
    np.testing.assert_array_equal(result.labels, full.argmax(0).numpy())
    np.testing.assert_allclose(result.confidence, full.softmax(0).amax(0).numpy(), rtol=1e-3)

    labels = Predictor(export(resize=resize, outputs="labels"))(image).labels
    nearest = Image.fromarray(small.argmax(2).astype(np.uint8)).resize((47, 33), 0)
    np.testing.assert_array_equal(labels, np.asarray(nearest))


@each_engine
def test_a_file_of_labels_has_neither_confidence_nor_logits(export, noise, name, engine):
    path = export(name, outputs="labels")
    with pytest.raises(ExportFileError, match=r"mean\.\w+: .*not confidence.*`outputs` logits"):
        Predictor(path, engine=engine, with_confidence=True)
    with pytest.raises(ExportFileError, match=r"mean\.\w+: .*not logits.*`outputs` logits"):
        Predictor(path, engine=engine).logits(noise(8, 8))


def test_path_picture_and_array_are_one(export, noise, tmp_path):
    predict = Predictor(export())
    image, path = noise(20, 30), tmp_path / "image.png"
    Image.fromarray(image).save(path)
    with Image.open(path) as picture:
        results = [predict(given) for given in (path, str(path), picture, image, image[::-1][::-1])]
    for result in results:
        np.testing.assert_array_equal(result.image, image)
        np.testing.assert_array_equal(result.labels, results[0].labels)
    assert not np.shares_memory(results[3].image, image)


@each_engine
def test_several_images_give_a_list_in_their_order(export, noise, name, engine):
    predict = Predictor(export(name), engine=engine)
    images = [noise(16, 24), noise(9, 40), noise(17, 24)]
    results = predict(images)
    assert isinstance(results, list)
    for image, result in zip(images, results, strict=True):
        np.testing.assert_array_equal(result.labels, predict(image).labels)

    batch = np.stack([noise(16, 24), noise(16, 24)[::-1]])
    results = predict(batch)
    assert [type(result) for result in results] == [Segmentation, Segmentation]
    np.testing.assert_array_equal(results[1].labels, predict(batch[1]).labels)
    assert isinstance(predict(batch[:1]), list)
    assert predict([]) == []


@each_engine
def test_earlier_results_are_not_overwritten(export, noise, name, engine):
    predict = Predictor(export(name, outputs="labels"), engine=engine)
    first = predict(noise(16, 24))
    kept = first.labels.copy()
    predict(255 - noise(16, 24))
    np.testing.assert_array_equal(first.labels, kept)


@each_engine
def test_threads_may_share_one(export, noise, name, engine):
    predict = Predictor(export(name), engine=engine, threads=1)
    images = [noise(16 + index, 24) for index in range(8)]
    expected = [predict(image).labels for image in images]
    wrong = []

    def work(index):
        results = [predict(images[index]).labels for _ in range(20)]
        wrong.extend(index for labels in results if not np.array_equal(labels, expected[index]))

    workers = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@each_engine
def test_a_file_for_one_size_names_both_sizes(export, noise, name, engine):
    predict = Predictor(export(name, size=(16, 24)), engine=engine)
    image = noise(16, 24)
    np.testing.assert_array_equal(predict(image).labels, reference(image)[1].argmax(0).numpy())
    for call in (predict, predict.logits):
        with pytest.raises(ImageError, match=r"24x16 pixels.*mean.* 16x24 only.*`size` 24x16"):
            call(noise(24, 16))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 5, 3), np.float32), r"uint8 of shape.*not float32 of \(4, 5, 3\)"),
        (np.zeros((4, 5), np.uint8), r"not uint8 of \(4, 5\)"),
        (np.zeros((4, 5, 1), np.uint8), r"not uint8 of \(4, 5, 1\)"),
        (np.zeros((4, 5, 4), np.uint8), r"not uint8 of \(4, 5, 4\)"),
        (np.zeros((3, 4, 5), np.uint8), r"not uint8 of \(3, 4, 5\)"),
        (np.zeros((0, 5, 3), np.uint8), r"at least one pixel.*\(0, 5, 3\)"),
        (np.zeros((2, 3, 4, 5, 3), np.uint8), r"\(2, 3, 4, 5, 3\)"),
        ([np.zeros((4, 5, 3), np.uint8), np.zeros((4, 0, 3), np.uint8)], r"\(4, 0, 3\)"),
        (None, "not a NoneType"),
        (Image.new("I;16", (4, 4)), r"mode I;16 .*8 bits"),
    ],
)
def test_what_is_no_image_is_refused(export, image, words):
    with pytest.raises(ImageError, match=words):
        Predictor(export())(image)
