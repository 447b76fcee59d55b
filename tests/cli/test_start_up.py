"""Start of the command line: help and mistakes are answered before torch is imported."""

import json
import subprocess
import sys
import time

import pytest

import eseg

SCRIPT = """
import json, sys
from eseg.cli import main
try:
    main()
finally:
    print(json.dumps(sorted({"torch", "numpy", "timm", "matplotlib"} & set(sys.modules))))
"""


@pytest.fixture
def call(tmp_path):
    """Runs `eseg` in a process of its own; gives its exit code, its output and heavy imports."""
    (tmp_path / "best.pt").touch()
    (tmp_path / "a.png").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.pt").touch()

    def run(line):
        words = [sys.executable, "-c", SCRIPT, *line.split()]
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
        *lines, heavy = done.stdout.splitlines()
        return done.returncode, done.stderr or "\n".join(lines), json.loads(heavy)

    return run


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train nope.yaml", "nope.yaml: no such file"),
        ("train run", "run is a folder; take run/best.pt"),
        ("train best.pt --output a.png/out", "a.png/out: cannot be written (a.png is a file); "
         "choose another --output"),
        ("evaluate nope.pt --data streets", "nope.pt: no such file"),
        ("evaluate best.pt --data nope", "nope: neither a file nor a data set known by name; "
         "those are streets, cityscapes, ade20k, vistas, vistas_v2, camvid"),
        ("evaluate best.pt --data nope.yaml", "nope.yaml: neither a file"),
        ("evaluate best.pt --data run", "run is a folder"),
        ("evaluate best.pt --data streets --precision int8", "Invalid value for '--precision': "
         "'int8' is not one of 'auto', 'fp32', 'bf16', 'fp16'"),
        ("evaluate best.pt --data streets --save a.png", "a.png: cannot be written"),
        ("predict nope.pt a.png --output o", "nope.pt: no such file"),
        ("predict best.pt img --output o", "img: no such file or folder"),
        ("predict best.pt a.png --output o --engine abacus", "'abacus' is not one of 'torch'"),
        ("export nope.pt", "nope.pt: no such file"),
        ("export best.pt --output gone/net.onnx", "--output gone/net.onnx: cannot be written"),
        ("export best.pt --size 48", "--size '48' is not HEIGHTxWIDTH"),
        ("verify nope.onnx --against best.pt --data streets", "nope.onnx: no such file"),
        ("verify best.pt --against nope.pt --data streets", "nope.pt: no such file"),
        ("benchmark nope.pt", "nope.pt: no such file"),
        ("benchmark best.pt --engine warp", "Invalid value for '--engine': 'warp' is not one of "),
        ("benchmark best.pt --plot a.txt", "--plot a.txt: give a file that ends in .png or .svg"),
        ("choose --fps 3 --family tiny", "'tiny' is not one of 'all', 'lite', 'full'"),
        ("doctor nope", "nope: neither a file nor a data set known by name"),
        ("doctor run --fix-config a.png/new.yaml", "choose another --fix-config"),
        ("self-train nope.yaml --unlabelled run", "nope.yaml: no such file"),
        ("self-train best.pt --unlabelled a.png", "a.png is a file, not a folder"),
        ("self-train best.pt --unlabelled run --student-from no.pt", "no.pt: no such file"),
        ("pseudo-label best.pt --images gone --output o", "gone: no such folder"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_at_once(call, line, message):
    code, output, heavy = call(line)
    assert code == 2
    assert output.startswith(f"error: {message}") or message in output
    assert output.startswith("error: ")
    assert output.count("\n") == 1
    assert not heavy


@pytest.mark.parametrize("line", ["--help", "-h", "train -h", "export --help", "version"])
def test_help_needs_nothing_heavy(call, line):
    code, _, heavy = call(line)
    assert (code, heavy) == (0, [])


def test_a_missing_argument_shows_the_usage(call):
    code, output, heavy = call("verify")
    assert code == 2
    assert "Usage: " in output
    assert "FILE" in output
    assert not heavy


@pytest.mark.parametrize("line", ["--version", "version"])
def test_the_version(call, line):
    assert call(line) == (0, eseg.__version__, [])


@pytest.mark.parametrize(("line", "seconds"), [("--help", 3), ("train nope.yaml", 5)])
def test_the_answer_comes_soon(line, seconds):
    """Generous bounds, for busy machines: torch alone takes longer on those."""
    taken = []
    for _ in range(3):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "eseg", *line.split()], capture_output=True)
        taken.append(time.perf_counter() - begin)
    assert min(taken) < seconds
