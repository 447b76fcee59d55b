"""The runtime as on a robot: nothing there but NumPy, Pillow and an engine, and up in no time."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

ABSENT = [
    "torch",
    "torchvision",
    "timm",
    "jaxtyping",
    "yaml",
    "pydantic",
    "typer",
    "rich",
    "matplotlib",
    "tensorboard",
    "onnx",
    "onnxscript",
    "nncf",
    "numba",
    "beartype",
]

BLOCKER = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {[*ABSENT, "@"]}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


def run(code, *args, absent=()):
    blocker = BLOCKER.replace("'@'", ", ".join(map(repr, absent)))
    return subprocess.run(
        [sys.executable, "-c", blocker + code, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_import_is_quick_and_brings_nothing_else():
    code = """
import time
before, start = set(sys.modules), time.process_time()
import eseg.runtime
print(time.process_time() - start)
print(*{name.partition(".")[0] for name in set(sys.modules) - before})
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    seconds, names = done.stdout.splitlines()
    assert float(seconds) < 1
    # NumPy's compiled parts register under names of their own.
    others = {name for name in names.split() if "cython" not in name}
    assert others <= set(sys.stdlib_module_names) | {"numpy", "PIL", "eseg"}


@pytest.mark.parametrize(
    ("name", "absent"),
    [("mean.onnx", ["openvino"]), ("mean.xml", ["onnxruntime"])],
    ids=["onnxruntime", "openvino"],
)
def test_a_file_runs_with_its_engine_alone(export, noise, tmp_path, name, absent):
    Image.fromarray(noise(33, 47)).save(tmp_path / "image.png")
    code = """
from eseg.runtime import Predictor
network, image, output = sys.argv[1:]
result = Predictor(network, with_confidence=True)(image)
result.save(output + "/labels.png")
result.overlay(legend=True).save(output + "/overlay.png")
print(result.labels.mean(), float(result.confidence.max()))
"""
    done = run(code, export(name), tmp_path / "image.png", tmp_path, absent=absent)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "labels.png") as labels:
        assert labels.size == (47, 33)
        assert np.asarray(labels).mean() == pytest.approx(float(done.stdout.split()[0]))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mean.onnx", "pip install onnxruntime"),
        ("best.pt", "torch cannot be imported"),
        ("a.pt2", "aotinductor cannot be imported"),
    ],
)
def test_what_an_engine_lacks_is_named_without_torch_too(export, tmp_path, name, words):
    path = export() if name == "mean.onnx" else tmp_path / name
    path.touch()
    code = """
import eseg.runtime
try:
    eseg.runtime.Predictor(sys.argv[1])
except eseg.runtime.EngineError as error:
    print(error)
"""
    done = run(code, path, absent=["onnxruntime"])
    assert words in done.stdout, done.stderr


def test_there_is_one_predictor_and_it_needs_no_torch_for_an_exported_file(export, noise, tmp_path):
    """Although torch is installed, as on the machine of whoever exports."""
    Image.fromarray(noise(33, 47)).save(tmp_path / "image.png")
    code = """
import sys
import eseg, eseg.runtime
assert eseg.Predictor is eseg.runtime.Predictor
predict = eseg.Predictor(sys.argv[1])
assert predict(sys.argv[2]).labels.shape == (33, 47)
print({"torch", "jaxtyping", "timm"} & set(sys.modules))
"""
    command = [sys.executable, "-c", code, str(export(outputs="labels")), tmp_path / "image.png"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr
