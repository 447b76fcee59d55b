"""Exported files of both formats, as their engines run them, and what hinders an export."""

import builtins
import dataclasses
import re

import numpy as np
import pytest
import torch

from eseg import __version__
from eseg.checkpoint import Checkpoint, weights_digest
from eseg.config import to_plain
from eseg.deploy.export import export as module
from eseg.deploy.export.export import default_output, export
from eseg.engines.upsampling_torch import upsample_labels
from eseg.errors import CheckpointError, ExportError, OutputError
from eseg.runtime.engine_table import EXPORT_FORMATS, open_engine

pytestmark = pytest.mark.usefixtures("unchecked")

SIZES = [(1, 1), (33, 47), (48, 72), (90, 120)]


@pytest.fixture(scope="session")
def network(checkpoint):
    return checkpoint.build_model()


def draw(height, width):
    return np.random.default_rng(height).integers(0, 256, (1, height, width, 3), dtype=np.uint8)


@torch.no_grad()
def expected_logits(network, pixels):
    return network.logits(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)


each_format = pytest.mark.parametrize("suffix", [".onnx", ".xml"])


def run(network, pixels):
    return network.network(network.preprocess(pixels))


@each_format
def test_one_file_gives_torch_s_logits_at_every_size(exported, network, suffix):
    loaded = open_engine(exported("any" + suffix))
    for size in SIZES:
        pixels = draw(*size)
        expected = expected_logits(network, pixels).numpy()
        logits = run(loaded, pixels)
        assert logits.dtype == np.float32
        assert logits.shape == expected.shape
        assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()


@each_format
def test_a_file_for_one_size_makes_labels_within_the_graph(exported, network, suffix):
    loaded = open_engine(exported("labels" + suffix, size=(50, 70), outputs="labels"))
    assert loaded.info.size == (50, 70)
    pixels = draw(50, 70)
    labels = run(loaded, pixels)
    assert labels.dtype == np.uint8
    expected = upsample_labels(expected_logits(network, pixels), (50, 70))[0].numpy()
    assert labels.shape == expected.shape
    assert (labels != expected).mean() <= 1e-3


@each_format
def test_half_precision_is_smaller_and_close(exported, network, suffix):
    path, whole = exported("half" + suffix, precision="fp16"), exported("any" + suffix)
    weights = EXPORT_FORMATS["openvino"].companion if suffix == ".xml" else suffix
    sizes = [file.with_suffix(weights).stat().st_size for file in (path, whole)]
    assert sizes[0] < 0.75 * sizes[1]
    loaded = open_engine(path)
    assert loaded.info.precision == "fp16"
    pixels = draw(48, 72)
    expected = expected_logits(network, pixels).numpy()
    assert np.abs(run(loaded, pixels) - expected).max() < 0.03 * np.abs(expected).max()


@each_format
def test_the_file_says_what_it_is(exported, checkpoint, suffix):
    info = open_engine(exported("any" + suffix)).info
    assert info == checkpoint.describe()
    assert info.names == checkpoint.classes.names == ("ground", "box", "ball")
    assert info.palette == checkpoint.classes.colours
    assert (info.outputs, info.size, info.precision) == ("logits", None, "fp32")
    assert info.stride == 8
    assert info.model == to_plain(checkpoint.model)
    assert info.step == checkpoint.step
    assert info.source == weights_digest(checkpoint.weights)
    assert info.eseg == __version__


def test_a_file_is_replaced_only_by_a_whole_one(checkpoint, tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    path.write_text("before")

    def full_disk(network, file, info):
        file.write_text("half of it")
        raise OSError(28, "No space left on device")

    def write(network, file, info):
        file.write_text("after")
        return [file]

    monkeypatch.setitem(module.WRITERS, "onnx", full_disk)
    with pytest.raises(OutputError, match=r"net\.onnx.*No space left.*beside the output"):
        export(checkpoint, path, format="onnx")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]

    monkeypatch.setitem(module.WRITERS, "onnx", write)
    assert export(checkpoint, path, format="onnx") == path.resolve()
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_elsewhere_is_not_blamed_on_the_output(checkpoint, tmp_path, monkeypatch):
    def full(network, file, info):
        raise OSError(28, "No space left on device", "/scratch/network.onnx")

    monkeypatch.setitem(module.WRITERS, "onnx", full)
    with pytest.raises(
        OutputError, match=r"No space left.*/scratch/network\.onnx.*TMPDIR"
    ) as error:
        export(checkpoint, tmp_path / "net.onnx", format="onnx")
    assert "`output`" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_of_a_pair_replaced_by_half_nothing_opens(tmp_path, monkeypatch):
    folder, output = tmp_path / "new", tmp_path / "net.xml"
    folder.mkdir()
    files = [folder / "net.bin", folder / "net.xml"]
    for file in files:
        file.write_text("new")
        (tmp_path / file.name).write_text("old")
    replacing = module.replacing

    def killed_before_the_second(path):
        if path == output:
            raise KeyboardInterrupt
        return replacing(path)

    monkeypatch.setattr(module, "replacing", killed_before_the_second)
    with pytest.raises(KeyboardInterrupt):
        module.publish(files, output)
    assert not output.exists()
    assert output.with_suffix(".bin").read_text() == "new"

    monkeypatch.setattr(module, "replacing", replacing)
    files[0].write_text("newer")
    module.publish(files, output)
    assert output.with_suffix(".bin").read_text() == "newer"
    assert output.read_text() == "new"


def test_what_cannot_be_meant_is_refused_before_any_work(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoint, "build_model", None)
    grey = dataclasses.replace(
        checkpoint, model=dataclasses.replace(checkpoint.model, in_channels=1)
    )
    for source, name, options, error, part in [
        (checkpoint, "net.xml", {}, ExportError, r"net\.xml.*\.onnx"),
        (checkpoint, "net.onnx", {"format": "tflite"}, ExportError, "onnx, openvino, pt2"),
        (checkpoint, "net.onnx", {"size": (0, 5)}, ExportError, "0x5"),
        (checkpoint, "net.onnx", {"size": (5, 20_000)}, ExportError, "16384"),
        (checkpoint, None, {}, ExportError, "`output`"),
        (grey, "net.onnx", {}, CheckpointError, "1 channels"),
    ]:
        with pytest.raises(error, match=part):
            export(source, name and tmp_path / name, **options)


def test_a_folder_that_is_not_there(checkpoint, tmp_path):
    with pytest.raises(OutputError, match=r"absent.*`output`"):
        export(checkpoint, tmp_path / "absent" / "net.onnx", format="onnx")


@pytest.mark.parametrize(
    ("form", "name", "package", "extra"),
    [
        ("onnx", "net.onnx", "onnxscript", "eseg[onnx]"),
        ("openvino", "net.xml", "openvino", "eseg[onnx,openvino]"),
    ],
)
def test_missing_packages_are_named(checkpoint, tmp_path, monkeypatch, form, name, package, extra):
    real = builtins.__import__

    def without(wanted, *args, **kwargs):
        if wanted.split(".")[0] == package:
            raise ImportError(f"No module named '{package}'")
        return real(wanted, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ExportError, match=re.escape(f"pip install '{extra}'")):
        export(checkpoint, tmp_path / name, format=form)


def test_the_default_name_says_what_the_file_is(tmp_path):
    base = tmp_path / "best.pt"
    assert default_output(base, format="onnx") == tmp_path / "best.onnx"
    name = default_output(
        base, format="openvino", size=(64, 96), outputs="labels", precision="int8"
    )
    assert name == tmp_path / "best_64x96_labels_int8.xml"
