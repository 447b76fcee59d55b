"""Networks in torch: several scales and mirror images, compiled or not, at any size."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as vision

from eseg.checkpoint import load_checkpoint
from eseg.engines.torch_engine import TorchDevice, TorchEngine, open_network
from eseg.errors import CheckpointError, DeviceError, EngineError
from eseg.models import create_model
from eseg.runtime.engine import EngineOptions
from eseg.runtime.predictor import Predictor
from eseg.runtime.resizing import ResizeConfig

CPU = torch.device("cpu")
SIZES = [(33, 47), (64, 96), (1, 10), (7, 5)]


@pytest.fixture(scope="module")
def info(best):
    return load_checkpoint(best).describe()


@pytest.fixture
def engine(toy_model, info):
    """The toy network as it was trained; options and the description's resize can be given."""

    def build(resize=None, **options):
        return TorchEngine(toy_model, replace(info, resize=resize), device=CPU, **options)

    return build


def images_of(size):
    return np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)


def resized(x, size):
    return vision.resize(x, list(size), antialias=True)


def as_planes(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def slow_average(model, image, scales, flip, full):
    """Each size and orientation on its own; the mean in float64 at the image's size."""
    height, width = image.shape[-2:]
    maps = []
    for scale in scales:
        for mirrored in [False, True][: 1 + flip]:
            pixels = image.flip(3) if mirrored else image
            size = (max(1, round(height * scale)), max(1, round(width * scale)))
            probs = resized(model.logits(resized(pixels, size)), full).double().softmax(1)
            maps.append(probs.flip(3) if mirrored else probs)
    return torch.stack(maps).mean(0).numpy()


def assert_labels_of(labels, probs):
    """The labels are the most probable classes, and the confidence is their probability."""
    assert (labels.ids.dtype, labels.confidence.dtype) == (np.uint8, np.float32)
    assert labels.ids.shape == labels.confidence.shape == probs[:, 0].shape
    chosen = np.take_along_axis(probs, labels.ids[:, None].astype(np.intp), 1)[:, 0]
    np.testing.assert_allclose(chosen, probs.max(1), atol=5e-5)
    np.testing.assert_allclose(labels.confidence, chosen, atol=5e-5)


@torch.no_grad()
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("scales", "flip"),
    [((1.0,), False), ((1.0,), True), ((0.5, 1.0, 2.0), False), ((0.5, 0.75, 1.5), True)],
)
def test_equal_to_the_slow_formulation(toy_model, engine, size, scales, flip):
    images = images_of(size)
    averaging = engine(scales=scales, flip=flip)
    labels = averaging.label(images, with_confidence=True)
    slow = slow_average(toy_model, as_planes(images) / 255, scales, flip, size)
    assert_labels_of(labels, slow)
    alone = averaging.label(images)
    np.testing.assert_array_equal(alone.ids, labels.ids)
    assert alone.confidence is None


@torch.no_grad()
@pytest.mark.parametrize(
    ("resize", "base"),
    [(ResizeConfig(shorter_side=21), (21, 30)), (ResizeConfig(longer_side=94), (66, 94))],
)
@pytest.mark.parametrize(("scales", "flip"), [((1.0,), False), ((0.5, 1.5), True)])
def test_resized_first_and_labelled_at_the_own_size(toy_model, engine, resize, base, scales, flip):
    images = images_of((33, 47))
    small = resized(as_planes(images), base)  # in 8 bits, like Pillow
    resizing = engine(resize, scales=scales, flip=flip)
    x = resizing.preprocess(images)
    assert (255 * x - small).abs().max() <= 1.01, "one of them may round otherwise"
    labels = resizing.label(images, with_confidence=True)
    assert_labels_of(labels, slow_average(toy_model, x, scales, flip, (33, 47)))
    plain = engine(scales=scales, flip=flip).label(images, with_confidence=True)
    assert np.abs(labels.confidence - plain.confidence).max() > 0.01


@torch.no_grad()
@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 2.0)])
def test_the_mirror_image_gives_the_mirror_result(engine, scales):
    images = images_of((33, 47))
    mirrored = np.ascontiguousarray(images[:, :, ::-1])

    def confidences(flip):
        label = functools.partial(engine(scales=scales, flip=flip).label, with_confidence=True)
        return label(images).confidence, label(mirrored).confidence[:, :, ::-1]

    np.testing.assert_allclose(*confidences(flip=True), atol=2e-5)
    # The network alone is not that way, so the test can fail.
    straight, turned = confidences(flip=False)
    assert np.abs(straight - turned).max() > 1e-3


def test_bf16_agrees_almost_everywhere_and_is_averaged_in_fp32(engine, sample):
    images = sample.image[None]
    for options in ({}, {"scales": (0.5, 1.0), "flip": True}):
        in_bf16 = engine(dtype=torch.bfloat16, **options)
        assert (engine().precision, in_bf16.precision) == ("fp32", "bf16")
        exact = engine(**options).label(images, with_confidence=True)
        labels = in_bf16.label(images, with_confidence=True)
        assert 0.97 < (labels.ids == exact.ids).mean() < 1  # below 1: bf16 was indeed used
        np.testing.assert_allclose(labels.confidence, exact.confidence, atol=0.05)
    rounded = torch.from_numpy(labels.confidence).bfloat16().float().numpy()
    assert not np.array_equal(labels.confidence, rounded)


@torch.no_grad()
def test_logits_are_those_of_the_first_scale(toy_model, engine):
    images = images_of((33, 47))
    logits = engine(scales=(1.0, 0.5), flip=True).logits(images)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, toy_model.logits(as_planes(images) / 255), atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (33, 47), (130, 70)])
def test_any_size(predict, size, noise):
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
    logits = toy_model.logits(as_planes(sample.image[None].copy()) / 255)
    probs = F.interpolate(logits, sample.mask.shape, mode="bilinear").softmax(1)[0]
    expected = probs.gather(0, torch.from_numpy(result.labels)[None].long())[0]
    np.testing.assert_allclose(result.confidence, expected.numpy(), atol=1e-3)
    assert (result.confidence > 1 / 3 - 1e-6).all()


@pytest.mark.parametrize(("scales", "flip"), [((1.0,), False), ((0.5, 1.0), True)])
def test_folded_labels_are_those_of_the_network_as_trained(best, sample, scales, flip):
    options = EngineOptions("cpu", "fp32", scales=scales, flip=flip)
    trained = open_network(best, "torch", options, folded=False).label(sample.image[None]).ids[0]
    result = Predictor(best, device="cpu", scales=scales, flip=flip)(sample.image)
    assert (result.labels == trained).mean() > 0.999  # folding changes the order of rounding
    assert len(np.unique(trained)) > 1
    assert (result.labels == sample.mask)[sample.mask != 255].mean() > 0.8


def test_a_checkpoint_remembers_the_size_that_it_was_trained_at(best, engine, resizing, sample):
    loaded = load_checkpoint(best)
    assert loaded.resize is None
    assert resizing.resize == ResizeConfig(shorter_side=32)
    for options in ({}, {"scales": (0.5, 1.0), "flip": True}):
        predict = Predictor(resizing, device="cpu", with_confidence=True, **options)
        assert predict.info.resize == resizing.resize
        result = predict(sample.image)
        expected = engine(resizing.resize, **options).label(
            sample.image[None], with_confidence=True
        )
        assert result.labels.shape == sample.mask.shape
        assert (result.labels == expected.ids[0]).mean() > 0.999
        np.testing.assert_allclose(result.confidence, expected.confidence[0], atol=1e-3)
        plain = Predictor(loaded, device="cpu", **options)(sample.image)
        assert not np.array_equal(result.labels, plain.labels)

    data = resizing.run["data"] | {"resize": {"side": 3}}
    damaged = replace(loaded, run=loaded.run | {"data": data})
    with pytest.raises(CheckpointError, match=r"data\.resize is damaged"):
        Predictor(damaged, device="cpu")


def test_a_loaded_checkpoint_serves_too_and_gives_confidence_on_request_only(best, predict, sample):
    result = Predictor(load_checkpoint(best), device="cpu")(sample.image)
    np.testing.assert_array_equal(result.labels, predict(sample.image).labels)
    assert result.confidence is None


def test_checkpoints_and_devices_that_cannot_be_used(best, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    for name in ("text.png", "gone.pt"):
        with pytest.raises(CheckpointError, match=name):
            Predictor(tmp_path / name)
    with pytest.raises(DeviceError, match="abacus"):
        Predictor(best, device="abacus")


def test_networks_for_other_channels_are_refused(best):
    loaded = load_checkpoint(best)
    model = create_model(loaded.model, in_channels=4)
    changed = replace(loaded, model=model.config, weights=model.state_dict())
    with pytest.raises(CheckpointError, match=r"images of 4 channels"):
        Predictor(changed)


def test_images_of_one_size_go_through_the_network_together(predict, monkeypatch, noise):
    images = [noise(33, 47), noise(40, 30), noise(33, 47)[::-1], noise(20, 20)]
    seen, network = [], predict.engine.network

    def spy(x):
        seen.append(x.shape)
        return network(x)

    monkeypatch.setattr(predict.engine, "network", spy)
    results = predict(images)
    assert seen == [(2, 3, 33, 47), (1, 3, 40, 30), (1, 3, 20, 20)]
    for image, result in zip(images, results, strict=True):
        alone = predict(image)
        np.testing.assert_array_equal(result.image, image)
        assert (result.labels == alone.labels).mean() > 0.99  # sums in another order
        np.testing.assert_allclose(result.confidence, alone.confidence, atol=1e-4)


@pytest.fixture
def traced(monkeypatch):
    """Lets torch trace as for users, but hand the graph to another compiler than its own."""

    def use(backend):
        traced = functools.partial(torch.compile, backend=backend)
        monkeypatch.setattr(
            torch, "compile", lambda *args, mode, **options: traced(*args, **options)
        )

    return use


@pytest.mark.usefixtures("unchecked")
def test_the_compiled_network_gives_the_same_labels(best, predict, sample, traced, noise):
    traced("eager")  # Compiling takes minutes.
    compiled = Predictor(best, device="cpu", engine="compile", with_confidence=True)
    assert compiled.engine.name == "compile"
    for image in (sample.image, noise(24, 20)):
        result = compiled(image)
        assert (result.labels == predict(image).labels).mean() > 0.999
        np.testing.assert_allclose(result.confidence, predict(image).confidence, atol=1e-4)


@pytest.mark.usefixtures("unchecked")
def test_a_network_that_cannot_be_compiled_says_what_is_missing(best, traced, noise):
    def broken(graph, inputs):
        raise RuntimeError("no working C++ compiler found\nand much more")

    traced(broken)
    compiled = Predictor(best, device="cpu", engine="compile")
    with pytest.raises(EngineError, match=r"\(no working C.*g\+\+.*engine torch") as caught:
        compiled(noise(20, 20))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("cpu", []),
        ("mps", [("wait", "mps")]),
        ("cuda:1", [("wait", "cuda:1"), ("bytes", "cuda:1")]),
    ],
)
def test_the_device_that_computes_is_waited_for_and_counted(monkeypatch, name, calls):
    """Calls are recorded with their device; there need not be one."""
    asked = []

    def record(call):
        return lambda device: asked.append((call, str(device))) or 2**21

    monkeypatch.setattr(torch.accelerator, "synchronize", record("wait"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", record("bytes"))
    device = TorchDevice()
    device.device = torch.device(name)
    assert device.runs_ahead == (name != "cpu")
    device.wait()
    assert device.device_bytes() == (2**21 if "cuda" in name else None)
    assert asked == calls
