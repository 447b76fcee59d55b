"""Files that cannot be run, engines that are not there: one clear error each."""

import builtins
import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from eseg.runtime.sessions import (
    OnnxSession,
    OpenVinoSession,
    _own_precision,
    open_session,
    openvino_core,
)

from eseg.runtime import EngineError, ExportFileError, Predictor
from eseg.runtime.network_info import SCHEMA

FILES = [("mean.onnx", "onnxruntime"), ("mean.onnx", "openvino"), ("mean.xml", "openvino")]

each_file = pytest.mark.parametrize(("name", "engine"), FILES)


@each_file
def test_the_description_is_read(export, info, name, engine):
    for size in (None, (16, 24)):
        assert open_session(export(name, size=size), engine=engine).info == dataclasses.replace(
            info, size=size
        )


def test_the_suffix_chooses_the_engine(export):
    assert isinstance(open_session(export("a.onnx")), OnnxSession)
    assert isinstance(open_session(export("a.xml")), OpenVinoSession)
    assert isinstance(open_session(export("b.onnx"), engine="openvino"), OpenVinoSession)


@each_file
def test_a_foreign_network(export, name, engine):
    path = export(name, text=None)
    with pytest.raises(ExportFileError, match=r"mean.*: not exported by eseg.*eseg export"):
        open_session(path, engine=engine)


@each_file
def test_a_newer_schema(export, info, name, engine):
    newer = json.loads(info.to_json()) | {"schema": SCHEMA + 1, "names": "of another kind"}
    with pytest.raises(ExportFileError, match=r"mean.*: exported by a newer eseg.*update eseg"):
        open_session(export(name, text=json.dumps(newer)), engine=engine)


@each_file
def test_a_damaged_description(export, info, name, engine):
    for text in (info.to_json()[:40], "[]", "{}"):
        with pytest.raises(ExportFileError, match=r"mean.*damaged.*export it again"):
            open_session(export(name, text=text), engine=engine)


@each_file
@pytest.mark.parametrize(
    "changes",
    [{"channels": 4}, {"channels": 1}, {"dtype": "float32"}, {"graph_size": (16, 24)}],
    ids=str,
)
def test_a_network_that_is_not_as_described(export, name, engine, changes):
    with pytest.raises(ExportFileError, match=r"mean.*does not take one uint8 image.*again"):
        open_session(export(name, **changes), engine=engine)


@each_file
def test_damaged_files(export, name, engine):
    path = export(name)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not a network at all"):
        path.write_bytes(content)
        with pytest.raises(ExportFileError) as caught:
            open_session(path, engine=engine)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


def test_openvino_without_the_weights_beside_it(export, tmp_path):
    path = export("mean.xml")
    path.with_suffix(".bin").unlink()
    with pytest.raises(ExportFileError, match=r"mean\.xml: openvino cannot load it \(.*bin file"):
        open_session(path)


def test_files_that_are_not_there_or_no_exports(tmp_path):
    with pytest.raises(ExportFileError, match=r"gone\.onnx: no such file"):
        open_session(tmp_path / "gone.onnx")
    with pytest.raises(ExportFileError, match=r"best\.pt: not an exported file.*eseg export"):
        Predictor(tmp_path / "best.pt")


def test_engines_that_do_not_exist_or_do_not_fit(export):
    with pytest.raises(EngineError, match=r"no engine 'abacus'; there are onnxruntime, openvino"):
        open_session(export(), engine="abacus")
    with pytest.raises(EngineError, match=r"mean\.xml: onnxruntime runs \.onnx files.*openvino"):
        open_session(export("mean.xml"), engine="onnxruntime")


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
        open_session(path, engine=package)


@each_file
def test_devices_that_are_not_there(export, name, engine):
    for device in ("abacus", "cpu7", "cuda:x"):
        with pytest.raises(EngineError, match=rf"{engine} has no device '{device}'.*cpu"):
            open_session(export(name), engine=engine, device=device)


@each_file
def test_precisions(export, noise, name, engine):
    path = export(name)
    with pytest.raises(EngineError, match=r"int4"):
        open_session(path, engine=engine, precision="int4")
    open_session(path, engine=engine, precision="fp32")
    if engine == "onnxruntime":
        with pytest.raises(EngineError, match=r"as the file was exported, in fp32, not in fp16"):
            open_session(path, engine=engine, precision="fp16")


def test_openvino_never_computes_more_coarsely_than_the_file_unless_it_is_told_to(export):
    import openvino

    def precision_of(session):
        model = session._request.get_compiled_model()
        return model.get_property("INFERENCE_PRECISION_HINT")

    own_choice = openvino_core().compile_model(export("a.xml"), "CPU", {})
    own_choice = own_choice.get_property("INFERENCE_PRECISION_HINT")
    assert precision_of(open_session(export("b.xml"))) == openvino.Type.f32
    assert precision_of(open_session(export("c.xml", precision="int8"))) == own_choice
    half, types = export("d.xml", precision="fp16"), (openvino.Type.f32, openvino.Type.f16)
    assert precision_of(open_session(half)) in types
    assert precision_of(open_session(half, precision="fp32")) == openvino.Type.f32


def test_sessions_say_what_they_compute_in(export):
    """Not what was asked for: a device may settle on another arithmetic than the file's."""
    import openvino

    names = {openvino.Type.f32: "fp32", openvino.Type.bf16: "bf16", openvino.Type.f16: "fp16"}
    half, whole = export("half.xml", precision="fp16"), export("whole.xml")
    for path in (half, whole):
        for asked in (None, "fp32", "bf16", "fp16"):
            session = open_session(path, precision=asked)
            model = session._request.get_compiled_model()
            assert session.precision == names[model.get_property("INFERENCE_PRECISION_HINT")]
    assert open_session(whole).precision == open_session(half, precision="fp32").precision == "fp32"
    if "FP16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert open_session(half).precision == "fp32"
    int8 = export("int8.xml", precision="int8")
    assert open_session(int8).precision == open_session(int8, precision="fp32").precision == "int8"
    assert open_session(export("half.onnx", precision="fp16")).precision == "fp16"


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
    session = open_session(export(name), engine=engine, threads=1)
    if engine == "openvino":
        model = session._request.get_compiled_model()
        assert model.get_property("INFERENCE_NUM_THREADS") == 1
    else:
        assert session._session.get_session_options().intra_op_num_threads == 1
    assert session.run(noise(16, 24)[None]).shape == (1, 3, 2, 3)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        open_session(export(name), engine=engine, threads=0)


@each_file
def test_results_belong_to_the_caller(export, noise, name, engine):
    session = open_session(export(name), engine=engine)
    first = session.run(noise(16, 24)[None])
    kept = first.copy()
    session.run(255 - noise(16, 24)[None])
    np.testing.assert_array_equal(first, kept)
    assert re.fullmatch(r"float32", str(first.dtype))


SIGNALS_AFTER_SESSIONS = """
import faulthandler, os, signal, sys

faulthandler.enable()
signal.signal(signal.SIGUSR1, lambda *_: print("handled", flush=True))
from eseg.runtime.sessions import open_session

first, second = open_session(sys.argv[1]), open_session(sys.argv[1])
del first
del second
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_signals_are_handled_after_openvino_was_used(export):
    command = [sys.executable, "-c", SIGNALS_AFTER_SESSIONS, str(export("mean.xml"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
