import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from eseg.checkpoint import describe_network
from eseg.cli import app
from eseg.cli.screen import print_table
from eseg.deploy.benchmark import benchmark as module
from eseg.deploy.benchmark import subjects
from eseg.deploy.benchmark.benchmark import Benchmark, Measured, agree_on_size, measure
from eseg.deploy.benchmark.benchmark_report import (
    benchmark_dict,
    benchmark_notes,
    benchmark_tables,
    benchmark_warnings,
    save_benchmark_plot,
)
from eseg.deploy.benchmark.matrix_products import MatrixProducts
from eseg.deploy.benchmark.processes import Remote
from eseg.deploy.benchmark.profile import Profile, profile
from eseg.deploy.benchmark.subjects import TimedPicture, draw_picture, load_picture
from eseg.deploy.benchmark.timed_network import Subject
from eseg.errors import BenchmarkError, ImageError
from eseg.models import PRESETS
from eseg.runtime.class_table import ClassTable
from eseg.runtime.resizing import ResizeConfig

runner = CliRunner()

CLASSES = ClassTable(("road", "other"), ((128, 64, 128), (70, 70, 70)))
INFO = describe_network(PRESETS["eseg_lite_s"], CLASSES, step=0)


def call(*words):
    return runner.invoke(app, [str(word) for word in words])


def measured(name, rounds, *, outputs="logits", precision="fp32", is_trained=True):
    return Measured(
        Subject(name, Path(name), name.split()[-1], threads=2, is_trained=is_trained),
        replace(INFO, outputs=outputs),
        precision,
        Profile(parameters=3_000_000, macs=10**9),
        rounds,
        {"process": 300.0, "network": 200.0},
        [],
    )


def seconds(network, labels=0.0, preprocess=0.0):
    stages = {"preprocess": preprocess, "network": network, "labels": labels}
    return stages | {"whole": sum(stages.values())}


@pytest.fixture
def result():
    """Three rounds: the machine is twice as slow in the last, the second subject half as fast."""
    first = [seconds(0.1, 0.02, 0.005), seconds(0.1, 0.02, 0.005), seconds(0.2, 0.04, 0.01)]
    second = [seconds(0.25), seconds(0.25), seconds(0.5)]
    return Benchmark(
        [
            measured("a torch", first, is_trained=False),
            measured("b onnxruntime", second, outputs="labels", precision="int8"),
        ],
        [draw_picture((20, 40))],
        decoding=[0.01, 0.01, 0.02],
        peak=[40.0, 50.0, 25.0],
        product={"library": "BLAS", "side": 64},
        environment={"cpu": "any"},
    )


def test_figures_follow_from_the_times(result):
    told = benchmark_dict(result)
    first, second = told["subjects"]
    assert first["stages_ms"]["network"]["median"] == 100
    assert first["stages_ms"]["labels"]["median"] == 20
    assert sum(stage["median"] for stage in first["stages_ms"].values()) == pytest.approx(
        first["whole_ms"]["median"]
    )
    assert first["with_decoding_ms"]["median"] == pytest.approx(135)
    assert first["images_per_second"] == pytest.approx(8)
    assert (first["ratio"], second["ratio"]) == (1, 2)
    # 2 operations x 1e9 in 0.1 s are 20 GFLOP/s, and matrix products reach 40.
    assert first["gflops_per_second"] == pytest.approx(20)
    assert first["share_of_peak"] == pytest.approx(0.5)
    assert second["share_of_peak"] is None  # of a peak in fp32 an int8 network has no share
    assert list(second["stages_ms"]) == ["preprocess", "network", "labels"]
    assert second["stages_ms"]["labels"]["median"] == 0
    assert [subject["weights"] for subject in told["subjects"]] == ["random", "trained"]
    assert (told["threads"], told["rounds"]) == (2, 3)
    json.dumps(told)


@pytest.mark.parametrize(
    ("taken", "reference", "expected"),
    [
        # A machine that slows down threefold in the middle does not change what is twice as slow.
        ([0.2, 0.2, 0.2, 0.6, 0.6, 0.6], [0.1, 0.1, 0.1, 0.3, 0.3, 0.3], pytest.approx(2)),
        ([1.0, 2.0, 9.0], [1.0, 1.0, 1.0], 2),
    ],
)
def test_the_ratio_compares_times_of_the_same_round(result, taken, reference, expected):
    result.measured[:] = [
        measured(name, [seconds(one) for one in times])
        for name, times in (("a", reference), ("b", taken))
    ]
    assert result.ratio(result.measured[1]) == expected


def test_tables_and_notes_say_what_cannot_be_seen(result):
    console = Console(file=io.StringIO(), width=80)
    for table in benchmark_tables(result):
        print_table(table, console)
    text = console.file.getvalue()
    assert "2.00" in text
    (row,) = [row for row in benchmark_tables(result)[1].rows if row[0] == "b onnxruntime"]
    assert row[5] == "-"  # no share of the fp32 peak
    notes = "\n".join(benchmark_notes(result))
    assert "near noise" in notes
    assert "a torch" in notes
    assert "labels as outputs" in notes
    assert "40 GFLOP/s" in notes


def test_a_subject_may_be_called_what_it_likes(result):
    result.measured[0] = measured("[a].pt torch", result.measured[0].rounds)
    for table in benchmark_tables(result):
        console = Console(file=io.StringIO(), width=120)
        print_table(table, console)
        assert "[a].pt torch" in console.file.getvalue()


def test_an_unsteady_machine_is_told_and_a_steady_one_is_not(result):
    (warning,) = benchmark_warnings(result)
    assert "not steady" in warning
    steady = [seconds(0.1), seconds(0.101), seconds(0.1)]
    calm = Benchmark(
        [measured("a", steady)], result.pictures, result.decoding, [], {}, result.environment
    )
    assert benchmark_warnings(calm) == []
    assert benchmark_dict(calm)["peak"] is None


def test_the_plot_is_a_picture(result, tmp_path):
    save_benchmark_plot(result, tmp_path / "stages.png")
    with Image.open(tmp_path / "stages.png") as picture:
        assert picture.width > 500


class Network(Remote):
    """There is no process: every turn takes as long as it was told."""

    def __init__(self, takes, log):
        self.takes, self.log = takes, log

    def call(self, method, *arguments):
        if method == "show":
            self.images = arguments[0]
        if method == "turn":
            self.log.append((arguments[0], self.takes))
        answers = {
            "describe": (INFO, "fp32"),
            "turn": seconds(self.takes),
            "memory": {"process": 1.0, "network": 1.0},
            "labels": np.full((1, 1), arguments[0] if method == "labels" else 0),
        }
        return answers.get(method)


def test_everybody_is_measured_in_every_round_on_the_same_images():
    log = []
    networks = {"a": Network(1.0, log), "b": Network(2.0, log)}
    subjects = [Subject(name, Path(name), "torch") for name in networks]
    images = [np.zeros((16, 24, 3), np.uint8)] * 3
    found, others = measure(subjects, networks, images, {"other": float}, 4, with_labels=True)
    assert sorted(log) == [(number, takes) for number in range(4) for takes in (1.0, 2.0)]
    assert others == {"other": [0, 1, 2, 3]}
    assert [m.seconds() for m in found] == [[1.0] * 4, [2.0] * 4]
    assert [len(network.images) for network in networks.values()] == [3, 3]
    assert [int(labels[0, 0]) for labels in found[1].labels] == [0, 1, 2]
    assert found[0].profile == profile("eseg_lite_s", (16, 24))


def test_costs_are_those_of_the_image_as_the_network_gets_it(monkeypatch):
    """With `data.resize` the network sees another size than the benchmark's images have."""
    info = replace(INFO, resize=ResizeConfig(shorter_side=64))

    class Resizing(Network):
        def call(self, method, *arguments):
            answer = super().call(method, *arguments)
            return (info, "fp32") if method == "describe" else answer

    images, subject = [np.zeros((256, 256, 3), np.uint8)], Subject("a", Path("a"), "torch")
    (found,), _ = measure([subject], {"a": Resizing(1.0, [])}, images, {}, 1)
    assert found.profile.macs == profile("eseg_lite_s", (64, 64)).macs


def test_one_size_for_all():
    free, small, large = Path("free"), Path("small.onnx"), Path("large.onnx")
    assert agree_on_size({free: None}, None) is None
    assert agree_on_size({free: None}, (3, 4)) == (3, 4)
    assert agree_on_size({free: None, small: (8, 16)}, None) == (8, 16)
    assert agree_on_size({small: (8, 16)}, (8, 16)) == (8, 16)
    with pytest.raises(
        BenchmarkError, match=r"small.onnx takes 8x16 only.*`size`.*3x4.*every size"
    ):
        agree_on_size({small: (8, 16)}, (3, 4))
    with pytest.raises(BenchmarkError, match=r"large.onnx takes 32x64 only.*8x16"):
        agree_on_size({small: (8, 16), free: None, large: (32, 64)}, None)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_picture_of_the_wanted_size_is_decoded_as_it_is(tmp_path, suffix):
    file = tmp_path / f"picture{suffix}"
    Image.fromarray(draw_picture((30, 50)).pixels).save(file)
    picture = load_picture(file)
    assert picture.size == (30, 50)
    assert picture.encoded == file.read_bytes()
    np.testing.assert_array_equal(picture.decode(), picture.pixels)
    resized = load_picture(file, (20, 24))
    assert resized.size == (20, 24)
    assert resized.decode().shape == resized.pixels.shape
    assert "30x50" in resized.source


def test_drawn_pictures_look_the_same_once_decoded():
    picture = draw_picture((60, 90))
    assert isinstance(picture, TimedPicture)
    assert np.abs(picture.decode().astype(int) - picture.pixels).mean() < 12


def test_pictures_that_cannot_be_had(tmp_path):
    with pytest.raises(BenchmarkError, match="99999x10"):
        draw_picture((99_999, 10))
    with pytest.raises(ImageError, match="nowhere"):
        load_picture(tmp_path / "nowhere.png")


def test_matrix_products_take_the_fastest_that_was_tried():
    products = MatrixProducts(threads=1, sides=(16, 32))
    about = products.about()
    assert about["library"] in ("BLAS", "oneDNN")
    assert about["side"] in (16, 32)
    assert products.turn(0) > 0


def test_a_benchmark_from_the_command_line(toy_run, tmp_path, monkeypatch, unchecked):
    """Two engines of one checkpoint in processes of their own: structure and sums, no speeds."""
    monkeypatch.setattr(module, "SIDES", (16,))
    checkpoint, output, plot = toy_run.folder / "best.pt", tmp_path / "b.json", tmp_path / "b.png"
    words = ["benchmark", checkpoint, "--engine", "torch", "--engine", "onnxruntime"]
    words += ["--device", "cpu", "--size", "41x56", "--rounds", "3", "--threads", "1"]
    result = call(*words, "--output", output, "--plot", plot)
    assert result.exit_code == 0, result.output
    assert "best.pt torch" in result.output
    assert plot.stat().st_size > 1000
    told = json.loads(output.read_text())
    assert told["images"]["size"] == [41, 56]
    assert (told["rounds"], told["threads"], told["device"]) == (3, 1, "cpu")
    assert told["peak"]["side"] == 16
    torch_run, onnx_run = told["subjects"]
    assert list(torch_run["stages_ms"]) == ["preprocess", "network", "labels"]
    assert list(onnx_run["stages_ms"]) == ["preprocess", "network", "labels"]
    assert torch_run["parameters"] == onnx_run["parameters"] > 0
    assert torch_run["macs"] == onnx_run["macs"] > 0
    assert torch_run["ratio"] == 1
    for run in told["subjects"]:
        for low, high in (("p5", "median"), ("median", "p95")):
            assert run["whole_ms"][low] <= run["whole_ms"][high]
        assert run["with_decoding_ms"]["median"] >= run["whole_ms"]["median"]
    # There is no torch in the process of the exported network.
    memory = [run["peak_memory_mib"]["process"] for run in told["subjects"]]
    assert memory[1] < memory[0]
    assert told["environment"]["torch"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["nowhere.pt"], "nowhere.pt: no such file"),
        (["eseg_tiny"], "eseg_tiny: neither a file nor a preset"),
        (["eseg_lite_s", "--size", "0x64"], "'0x64' is not HEIGHTxWIDTH"),
        (["eseg_lite_s", "--engine", "warp"], "'--engine': 'warp' is not one of 'torch'"),
        (["eseg_lite_s", "--device", "warp9"], "warp9"),
        (["eseg_lite_s", "--precision", "int3"], "'--precision': 'int3'"),
        (["eseg_lite_s", "--plot", "stages.txt"], "ends in .png or .svg"),
        (["eseg_lite_s", "--output", "/nowhere/b.json"], "cannot be written"),
    ],
)
def test_what_a_person_can_mend_is_one_line(words, part):
    result = call("benchmark", *words)
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert part in result.output.replace("\n", " ").replace("  ", " ")


@pytest.mark.parametrize(
    ("words", "part"),
    [(["--image", "nope.jpg"], "nope.jpg: no such file"), (["--size", "99999x1"], "1 to 16384")],
)
def test_pictures_are_refused_before_anything_is_exported(monkeypatch, words, part):
    monkeypatch.setattr(subjects, "find_subjects", None)
    result = call("benchmark", "eseg_lite_s", *words)
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert part in result.output.replace("\n", " ")


def test_what_a_process_finds_wrong_is_one_line_too(tmp_path):
    foreign = tmp_path / "foreign.onnx"
    foreign.write_bytes(b"no network")
    result = call("benchmark", foreign, "--engine", "onnxruntime", "--device", "cpu")
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert "foreign.onnx" in result.output.replace("\n", "")
