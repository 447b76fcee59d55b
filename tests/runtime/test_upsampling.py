"""Labels by filling and border tiles against the plain form that interpolates everything."""

import contextlib
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from eseg.runtime import upsampling as labels_numpy
from eseg.runtime import upsampling_numba as labels_numba
from eseg.runtime.tiling import cut_axis
from eseg.runtime.upsampling import (
    upsample_labels,
    upsample_labels_with_confidence,
    write_labels,
)

FORMS = ("numba", "numpy", "numpy strips", "numpy borders")


@contextlib.contextmanager
def using(form):
    """With Numba or without; NumPy's two ways of going on can be forced."""
    with pytest.MonkeyPatch.context() as patch:
        if form == "numba":
            # Were it to fail, NumPy would take its place without a word.
            assert labels_numpy._compiled() is labels_numba.write_tiles
        else:
            patch.setattr(labels_numpy, "_compiled", lambda: None)
            crowded = {"numpy strips": -1.0, "numpy borders": 1.0}.get(form)
            if crowded is not None:
                patch.setattr(labels_numpy, "_CROWDED", crowded)
        yield


@pytest.fixture(params=FORMS)
def form(request):
    with using(request.param):
        yield request.param


def plain(logits, size):
    """Full-size logits by torch."""
    tensor = torch.from_numpy(np.array(logits, np.float32))[None]
    return F.interpolate(tensor, size, mode="bilinear", align_corners=False)[0].numpy()


def softmax_maximum(full):
    return 1 / np.exp(full - full.max(0)).sum(0)


def assert_best_but_for_rounding(labels, full):
    """Every label is the first of the highest, or so close to it that rounding decides."""
    best = full.argmax(0)
    ours = np.take_along_axis(full, labels[None].astype(np.intp), 0)[0]
    gap = full.max(0) - ours
    # Positions are rounded too, by up to 4e-6 of a pixel at 64 pixels, and logits differ by up to
    # twice the largest from one pixel to the next.
    assert gap[labels != best].max(initial=0) <= 2e-5 * np.abs(full).max()


def make_logits(kind, classes, height, width, seed):
    rng = np.random.default_rng(seed)
    if kind == "smooth":  # like a network's: whole regions of a class
        return 5 * plain(rng.standard_normal((classes, 3, 3), np.float32), (height, width))
    if kind == "ties":
        return rng.integers(0, 3, (classes, height, width)).astype(np.float32)
    scale = {"random": 1.0, "large": 1e4}[kind]
    return scale * rng.standard_normal((classes, height, width), np.float32)


def relaid(logits, layout):
    """The same numbers, otherwise in memory."""
    if layout == "channels last":
        return np.ascontiguousarray(logits.transpose(1, 2, 0)).transpose(2, 0, 1)
    if layout == "part":
        return np.pad(logits, ((0, 1), (1, 2), (3, 0)))[:-1, 1:-2, 3:]
    if layout == "backwards":
        return np.ascontiguousarray(logits[:, ::-1, ::-1])[:, ::-1, ::-1]
    if layout == "unaligned":
        return np.frombuffer(b"?" + logits.tobytes(), np.float32, offset=1).reshape(logits.shape)
    return logits


sides = st.integers(1, 24)
any_logits = st.builds(
    make_logits,
    kind=st.sampled_from(["random", "smooth", "ties", "large"]),
    classes=st.sampled_from([1, 2, 3, 7, 19, 40]),
    height=sides,
    width=sides,
    seed=st.integers(0, 999),
)
layouts = st.sampled_from(["planes", "channels last", "part", "backwards", "unaligned"])
sizes = st.tuples(st.integers(1, 100), st.integers(1, 100))


@pytest.mark.parametrize("form_name", FORMS)
@given(logits=any_logits, layout=layouts, size=sizes)
@settings(max_examples=60, deadline=None)
def test_any_logits_at_any_size(form_name, logits, layout, size):
    full = plain(logits, size)
    with using(form_name):
        labels = upsample_labels(relaid(logits, layout), size)
        same, confidence = upsample_labels_with_confidence(relaid(logits, layout), size)
    assert labels.shape == size
    assert labels.dtype == np.uint8
    assert_best_but_for_rounding(labels, full)
    np.testing.assert_array_equal(same, labels)
    assert confidence.dtype == np.float32
    tolerance = 2e-5 * max(1, np.abs(logits).max())
    np.testing.assert_allclose(confidence, softmax_maximum(full), rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", ["random", "smooth"])
def test_at_most_one_pixel_in_a_hundred_thousand_differs(form, kind):
    wrong = total = 0
    for seed, size in enumerate([(384, 512), (377, 509), (96, 128), (41, 333), (768, 300)]):
        logits = make_logits(kind, 11, 48, 64, seed)
        full = plain(logits, size)
        labels, confidence = upsample_labels_with_confidence(logits, size)
        assert_best_but_for_rounding(labels, full)
        np.testing.assert_allclose(confidence, softmax_maximum(full), atol=2e-5)
        wrong += (labels != full.argmax(0)).sum()
        total += labels.size
    assert wrong <= 1e-5 * total


def test_logits_of_a_trained_network(form, toy_model):
    image = torch.full((1, 3, 203, 310), 90 / 255)
    image[:, 0, 20:90, 30:140] = 200 / 255  # a box, as the network was taught them
    image[:, 2, 110:170, 200:260] = 220 / 255
    with torch.inference_mode():
        logits = toy_model.logits(image)[0].numpy()
    full = plain(logits, (203, 310))
    labels, confidence = upsample_labels_with_confidence(logits, (203, 310))
    assert len(np.unique(labels)) > 1
    assert_best_but_for_rounding(labels, full)
    np.testing.assert_allclose(confidence, softmax_maximum(full), atol=2e-5)


def test_the_first_of_equal_classes_wins(form):
    for logits in (np.zeros((4, 3, 3)), np.arange(36.0).reshape(1, 6, 6).repeat(4, 0)):
        labels, confidence = upsample_labels_with_confidence(logits, (20, 31))
        assert not labels.any()
        np.testing.assert_allclose(confidence, 0.25, rtol=1e-6)


def test_nan_never_wins(form):
    logits = make_logits("random", 5, 9, 8, 0)
    without = upsample_labels(logits[[0, 1, 3, 4]], (70, 60))
    logits[2] = np.nan
    labels, confidence = upsample_labels_with_confidence(logits, (70, 60))
    np.testing.assert_array_equal(labels, np.array([0, 1, 3, 4], np.uint8)[without])
    assert np.isnan(confidence).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_absurd_logits_give_labels_all_the_same(form, value):
    logits = make_logits("random", 5, 9, 8, 1)
    for hit in (logits[:, 3, 4], logits[1:3, 5], logits):
        hit[...] = value
        labels, _ = upsample_labels_with_confidence(logits, (70, 60))
        assert labels.max() < 5


def test_any_dtype_is_computed_in_float32(form):
    logits = make_logits("smooth", 5, 9, 8, 2).astype(np.float16)
    expected = upsample_labels(logits.astype(np.float32), (70, 60))
    for dtype in ("<f2", ">f4", "<f8"):
        np.testing.assert_array_equal(upsample_labels(logits.astype(dtype), (70, 60)), expected)


def test_logits_may_be_read_only_and_stay_as_they_are(form):
    logits = make_logits("random", 5, 9, 8, 3)
    copy = logits.copy()
    logits.flags.writeable = False
    upsample_labels_with_confidence(logits, (70, 60))
    np.testing.assert_array_equal(logits, copy)


def test_labels_of_255_classes_and_no_more(form):
    logits = make_logits("random", 255, 4, 4, 4)
    assert_best_but_for_rounding(upsample_labels(logits, (32, 32)), plain(logits, (32, 32)))
    with pytest.raises(ValueError, match="255 classes, not 256"):
        upsample_labels(np.zeros((256, 2, 2), np.float32), (4, 4))


@pytest.mark.parametrize(
    ("shape", "size"),
    [((3, 4), (8, 8)), ((1, 3, 4, 4), (8, 8)), ((0, 4, 4), (8, 8)), ((3, 4, 4), (0, 8))],
)
def test_wrong_shapes_are_refused(shape, size):
    with pytest.raises(ValueError, match="each at least 1, not"):
        upsample_labels(np.zeros(shape, np.float32), size)


def peak_memory(work):
    """Bytes allocated at most at one time, NumPy's included."""
    cut_axis.cache_clear()
    tracemalloc.start()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("kind", ["random", "smooth"])
@pytest.mark.parametrize(
    ("form_name", "with_confidence"), [("numpy", True), ("numpy borders", False)]
)
def test_memory_does_not_grow_with_classes_times_labels(form_name, with_confidence, kind):
    logits = make_logits(kind, 150, 16, 32, 5)
    labels = np.empty((256, 512), np.uint8)
    confidence = np.empty((256, 512), np.float32) if with_confidence else None
    with using(form_name):
        peak = peak_memory(lambda: write_labels(logits, labels, confidence))
    assert peak < 4 * 150 * labels.size / 15


@pytest.fixture
def as_plain_python(monkeypatch):
    """The source of the compiled form, run by Python, where no folder can hold a cache."""
    for name in ("_load", "_bound", "_find_best", "_sum_exp", "_exp"):
        monkeypatch.setattr(labels_numba, name, getattr(labels_numba, name).py_func)
    calls = []

    def compile_nothing(_signature, *, cache=False, **_options):
        calls.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(labels_numba, "njit", compile_nothing)
    monkeypatch.setattr(labels_numba, "_kernel", labels_numba._compile())
    assert calls == [True, False]


@pytest.mark.usefixtures("as_plain_python")
def test_the_compiled_form_holds_rows_and_a_tile_only():
    logits = make_logits("random", 40, 2, 2, 6)
    labels, confidence = np.empty((20, 20), np.uint8), np.empty((20, 20), np.float32)
    peak = peak_memory(lambda: write_labels(logits, labels, confidence))
    assert peak < 4 * 40 * labels.size / 4
    full = plain(logits, (20, 20))
    assert_best_but_for_rounding(labels, full)
    np.testing.assert_allclose(confidence, softmax_maximum(full), atol=2e-5)


def test_numpy_alone_is_imported():
    script = (
        "import sys; from eseg.runtime.upsampling import upsample_labels;"
        "print(sorted({'torch', 'numba', 'jaxtyping', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['numpy']"


def test_without_numba_numpy_does_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "eseg.runtime.upsampling_numba", None)
    assert labels_numpy._compiled.__wrapped__() is None


def test_a_numba_that_cannot_compile_is_told_and_done_without(monkeypatch):
    def njit(*_arguments, **_options):
        raise TypeError("unknown option\nand a page of details")

    monkeypatch.delitem(sys.modules, "eseg.runtime.upsampling_numba")
    monkeypatch.setattr("numba.njit", njit)
    with pytest.warns(RuntimeWarning, match=r"Numba failed \(unknown option\)"):
        assert labels_numpy._compiled.__wrapped__() is None
