"""Files and the engines that run them; for what cannot be run, one clear error each."""

import builtins
import dataclasses
import importlib
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from eseg.choices import EngineName
from eseg.errors import EngineError, ExportFileError
from eseg.runtime.engine import EngineOptions
from eseg.runtime.engine_table import (
    CHECKPOINT_ENGINES,
    ENGINES,
    EXPORT_FORMATS,
    choose_engine,
    format_of,
    open_engine,
)
from eseg.runtime.network_info import SCHEMA
from eseg.runtime.onnxruntime import OnnxRuntimeEngine
from eseg.runtime.openvino import OpenVinoEngine, _own_precision, openvino_core

FILES = [("mean.onnx", "onnxruntime"), ("mean.onnx", "openvino"), ("mean.xml", "openvino")]

each_file = pytest.mark.parametrize(("name", "engine"), FILES)


@each_file
def test_the_description_is_read(export, info, name, engine):
    for size in (None, (16, 24)):
        assert open_engine(export(name, size=size), engine=engine).info == dataclasses.replace(
            info, size=size
        )


def test_the_suffix_chooses_the_engine(export):
    assert isinstance(open_engine(export("a.onnx")), OnnxRuntimeEngine)
    assert isinstance(open_engine(export("a.xml")), OpenVinoEngine)
    assert isinstance(open_engine(export("b.onnx"), engine="openvino"), OpenVinoEngine)


@each_file
def test_a_foreign_network(export, name, engine):
    path = export(name, text=None)
    with pytest.raises(ExportFileError, match=r"mean.*: not exported by eseg.*eseg export"):
        open_engine(path, engine=engine)


@each_file
def test_a_newer_schema(export, info, name, engine):
    newer = json.loads(info.to_json()) | {"schema": SCHEMA + 1, "names": "of another kind"}
    with pytest.raises(ExportFileError, match=r"mean.*: exported by a newer eseg.*update eseg"):
        open_engine(export(name, text=json.dumps(newer)), engine=engine)


@each_file
def test_a_damaged_description(export, info, name, engine):
    for text in (info.to_json()[:40], "[]", "{}"):
        with pytest.raises(ExportFileError, match=r"mean.*damaged.*export it again"):
            open_engine(export(name, text=text), engine=engine)


@each_file
@pytest.mark.parametrize(
    "changes",
    [{"channels": 4}, {"channels": 1}, {"dtype": "float32"}, {"graph_size": (16, 24)}],
    ids=str,
)
def test_a_network_that_is_not_as_described(export, name, engine, changes):
    with pytest.raises(ExportFileError, match=r"mean.*does not take one uint8 image.*again"):
        open_engine(export(name, **changes), engine=engine)


@each_file
def test_damaged_files(export, name, engine):
    path = export(name)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not a network at all"):
        path.write_bytes(content)
        with pytest.raises(ExportFileError) as caught:
            open_engine(path, engine=engine)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


def test_openvino_without_the_weights_beside_it(export, tmp_path):
    path = export("mean.xml")
    path.with_suffix(".bin").unlink()
    with pytest.raises(ExportFileError, match=r"mean\.xml: openvino cannot load it \(.*bin file"):
        open_engine(path)


@pytest.mark.parametrize("suffix", [form.suffix for form in EXPORT_FORMATS.values()])
def test_exported_files_that_are_not_there(tmp_path, suffix):
    with pytest.raises(ExportFileError, match=rf"gone\{suffix}: no such file"):
        open_engine(tmp_path / f"gone{suffix}")


def test_formats_engines_and_their_names_agree():
    assert get_args(EngineName) == tuple(ENGINES)
    run_files = {name for form in EXPORT_FORMATS.values() for name in form.engines}
    assert run_files | {*CHECKPOINT_ENGINES} == {*ENGINES}
    assert not run_files & {*CHECKPOINT_ENGINES}
    assert len({form.suffix for form in EXPORT_FORMATS.values()}) == len(EXPORT_FORMATS)
    for name, module in ENGINES.items():
        assert callable(importlib.import_module(module).open_network), name


def test_a_loaded_engine_is_returned_as_is(export):
    engine = open_engine(export())
    assert open_engine(engine) is engine


@pytest.mark.parametrize(
    ("name", "form", "default"),
    [
        ("best.pt", None, "torch"),
        ("best", None, "torch"),
        ("a.onnx", "onnx", "onnxruntime"),
        ("a.ONNX", "onnx", "onnxruntime"),
        ("a.xml", "openvino", "openvino"),
        ("a.pt2", "pt2", "aotinductor"),
    ],
)
def test_the_suffix_tells_the_format_and_the_default_engine(name, form, default):
    for path in (name, Path(name)):
        assert format_of(path) == form
        assert choose_engine(path) == default


@pytest.mark.parametrize(
    ("name", "engine", "words"),
    [
        ("best.pt", "onnxruntime", r"onnxruntime does not run checkpoints; export.* format onnx$"),
        ("best.pt", "openvino", r"export it first: eseg export, format openvino$"),
        ("best.pt", "aotinductor", r"export it first: eseg export, format pt2$"),
        (object(), "onnxruntime", r"onnxruntime does not run checkpoints; export it first"),
        ("best.onnx", "torch", r"best\.onnx: torch does not run \.onnx files.* the checkpoint$"),
        ("best.xml", "compile", r"best\.xml: compile does not run.*take openvino, or"),
        ("best.xml", "onnxruntime", r"take openvino, or give another file$"),
        ("best.pt2", "openvino", r"best\.pt2: openvino does not run \.pt2.*take aotinductor"),
        ("best.pt", "abacus", r"no engine 'abacus'; there are torch, compile, onnxruntime"),
    ],
)
def test_engines_that_do_not_fit_the_file(name, engine, words):
    for choose in (choose_engine, open_engine):
        with pytest.raises(EngineError, match=words):
            choose(name, engine=engine)


@each_file
def test_exported_files_refuse_what_only_checkpoints_can(export, name, engine):
    for option in ({"scales": (0.5, 1.0)}, {"flip": True}):
        with pytest.raises(EngineError, match=r"mean.*`scales` and `flip` need the checkpoint"):
            open_engine(export(name), engine=engine, **option)


@pytest.mark.parametrize("scales", [(), (0.0, 1.0), (-1.0,), (1.0, math.nan), (math.inf,)])
def test_scales_that_mean_nothing_are_refused(scales):
    with pytest.raises(ValueError, match="`scales` must be factors above 0"):
        EngineOptions(scales=scales)


def test_several_passes_are_averaged():
    assert not EngineOptions().averages
    assert EngineOptions(scales=(0.5,)).averages
    assert EngineOptions(flip=True).averages


@pytest.mark.parametrize("package", ["onnxruntime", "openvino"])
def test_an_engine_that_is_not_installed(export, monkeypatch, package):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == package:
            raise ImportError(f"No module named {package!r}")
        return real(name, *args, **kwargs)

    path = export()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EngineError, match=rf"package {package} .*: pip install {package}"):
        open_engine(path, engine=package)


@each_file
def test_devices_that_are_not_there(export, name, engine):
    for device in ("abacus", "cpu7", "cuda:x"):
        with pytest.raises(EngineError, match=rf"{engine} has no device '{device}'.*cpu"):
            open_engine(export(name), engine=engine, device=device)


@each_file
def test_precisions(export, noise, name, engine):
    path = export(name)
    with pytest.raises(EngineError, match=r"int4"):
        open_engine(path, engine=engine, precision="int4")
    open_engine(path, engine=engine, precision="fp32")
    if engine == "onnxruntime":
        with pytest.raises(EngineError, match=r"as the file was exported, in fp32, not in fp16"):
            open_engine(path, engine=engine, precision="fp16")


def test_openvino_never_computes_more_coarsely_than_the_file_unless_it_is_told_to(export):
    import openvino

    def precision_of(engine):
        model = engine._request.get_compiled_model()
        return model.get_property("INFERENCE_PRECISION_HINT")

    own_choice = openvino_core().compile_model(export("a.xml"), "CPU", {})
    own_choice = own_choice.get_property("INFERENCE_PRECISION_HINT")
    assert precision_of(open_engine(export("b.xml"))) == openvino.Type.f32
    assert precision_of(open_engine(export("c.xml", precision="int8"))) == own_choice
    half, types = export("d.xml", precision="fp16"), (openvino.Type.f32, openvino.Type.f16)
    assert precision_of(open_engine(half)) in types
    assert precision_of(open_engine(half, precision="fp32")) == openvino.Type.f32


def test_engines_say_what_they_compute_in(export):
    """Not what was asked for: a device may settle on another arithmetic than the file's."""
    import openvino

    names = {openvino.Type.f32: "fp32", openvino.Type.bf16: "bf16", openvino.Type.f16: "fp16"}
    half, whole = export("half.xml", precision="fp16"), export("whole.xml")
    for path in (half, whole):
        for asked in ("auto", "fp32", "bf16", "fp16"):
            loaded = open_engine(path, precision=asked)
            model = loaded._request.get_compiled_model()
            assert loaded.precision == names[model.get_property("INFERENCE_PRECISION_HINT")]
    assert open_engine(whole).precision == open_engine(half, precision="fp32").precision == "fp32"
    if "FP16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert open_engine(half).precision == "fp32"
    int8 = export("int8.xml", precision="int8")
    assert open_engine(int8).precision == open_engine(int8, precision="fp32").precision == "int8"
    assert open_engine(export("half.onnx", precision="fp16")).precision == "fp16"


@pytest.mark.parametrize(
    ("precision", "capabilities", "wanted"),
    [
        ("fp32", ["FP32", "BF16", "FP16"], "fp32"),
        ("fp16", ["FP32", "BF16"], "fp32"),
        ("fp16", ["FP32", "BF16", "FP16"], None),
        ("int8", ["FP32", "BF16"], None),
    ],
)
def test_arithmetic_follows_file_and_device(info, precision, capabilities, wanted):
    info = dataclasses.replace(info, precision=precision)
    assert _own_precision(info, capabilities) == wanted


@each_file
def test_threads_are_set_and_checked(export, noise, name, engine):
    loaded = open_engine(export(name), engine=engine, threads=1)
    if engine == "openvino":
        model = loaded._request.get_compiled_model()
        assert model.get_property("INFERENCE_NUM_THREADS") == 1
    else:
        assert loaded._session.get_session_options().intra_op_num_threads == 1
    assert loaded.network(noise(16, 24)[None]).shape == (1, 3, 2, 3)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        open_engine(export(name), engine=engine, threads=0)


@each_file
def test_results_belong_to_the_caller(export, noise, name, engine):
    loaded = open_engine(export(name), engine=engine)
    first = loaded.network(noise(16, 24)[None])
    kept = first.copy()
    loaded.network(255 - noise(16, 24)[None])
    np.testing.assert_array_equal(first, kept)
    assert first.dtype == np.float32


SIGNALS_AFTER_ENGINES = """
import faulthandler, os, signal, sys

faulthandler.enable()
signal.signal(signal.SIGUSR1, lambda *_: print("handled", flush=True))
from eseg.runtime.engine_table import open_engine

first, second = open_engine(sys.argv[1]), open_engine(sys.argv[1])
del first
del second
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_signals_are_handled_after_openvino_was_used(export):
    command = [sys.executable, "-c", SIGNALS_AFTER_ENGINES, str(export("mean.xml"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
