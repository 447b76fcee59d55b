"""The one way from images to labels: every engine, the predictor and evaluation go it alike."""

import numpy as np
import pytest
import torch

from eseg.data.samples import EvalImage
from eseg.deploy.benchmark.timed_network import steps_of
from eseg.inference.evaluate import count_pixels
from eseg.metrics import confusion_matrix
from eseg.runtime.engine_table import open_engine
from eseg.runtime.predictor import Predictor

SOURCES = {
    "torch": ("best.pt", "torch"),
    "onnxruntime": ("any.onnx", "onnxruntime"),
    "openvino from onnx": ("any.onnx", "openvino"),
    "openvino": ("any.xml", "openvino"),
}


@pytest.fixture(scope="module", params=SOURCES.values(), ids=SOURCES.keys())
def engine(request, best, exported):
    """The toy network in every engine that is quick to make."""
    name, kind = request.param
    loaded = open_engine(best if name == best.name else exported(name), engine=kind, device="cpu")
    assert (loaded.name, loaded.precision) == (kind, "fp32")
    return loaded


@pytest.fixture(scope="module")
def images(sample, noise):
    return [sample.image, noise(61, 45), noise(33, 120), noise(1, 1)]


def test_all_engines_give_the_labels_of_torch(engine, predict, images):
    assert (engine.info.names, engine.info.palette) == (predict.names, predict.palette)
    assert engine.info == predict.info, "an export in fp32 for every size is described alike"
    for image in images:
        wanted = predict(image)
        labels = engine.label(image[None], with_confidence=True)
        assert (labels.ids[0] == wanted.labels).mean() >= 0.999
        np.testing.assert_allclose(labels.confidence[0], wanted.confidence, atol=1e-4)
        np.testing.assert_allclose(engine.logits(image[None])[0], predict.logits(image), atol=1e-4)
    assert len(np.unique(engine.label(images[0][None]).ids)) > 1


def test_predictor_evaluation_and_benchmark_give_the_engine_s_labels(engine, images, sample):
    for image, result in zip(images, Predictor(engine)(images), strict=True):
        labels = engine.label(image[None])
        assert labels.confidence is None
        np.testing.assert_array_equal(result.labels, labels.ids[0])
        value = image[None]
        for step in steps_of(engine, image.shape[:2]).values():
            value = step(value)
        np.testing.assert_array_equal(value, labels.ids)

    seen = []
    item = EvalImage(torch.tensor(sample.image), torch.tensor(sample.mask), sample.name)
    matrix = count_pixels(engine, [item], visitors=[lambda *given: seen.append(given)])
    ((visited, labels),) = seen
    assert visited is item
    np.testing.assert_array_equal(labels, engine.label(sample.image[None]).ids[0])
    expected = confusion_matrix(torch.from_numpy(labels), item.mask, len(engine.info.names))
    assert torch.equal(matrix.matrix, expected)


@pytest.mark.parametrize("with_confidence", [False, True])
def test_a_batch_is_labelled_like_its_images(engine, noise, with_confidence):
    batch = np.stack([noise(33, 47), noise(33, 47)[::-1], noise(33, 47)[:, ::-1]])
    labels = engine.label(batch, with_confidence=with_confidence)
    assert (labels.ids.shape, labels.ids.dtype) == (batch.shape[:3], np.uint8)
    assert (labels.confidence is not None) == with_confidence
    for index in range(len(batch)):
        alone = engine.label(batch[index : index + 1], with_confidence=with_confidence)
        assert (labels.ids[index] == alone.ids[0]).mean() >= 0.99  # sums in another order
        if with_confidence:
            np.testing.assert_allclose(labels.confidence[index], alone.confidence[0], atol=1e-4)
