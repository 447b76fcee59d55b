import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from eseg.cli import app
from eseg.cli.screen import print_table
from eseg.deploy.benchmark import choose as module
from eseg.deploy.benchmark.benchmark_report import (
    choice_dict,
    choice_notes,
    choice_table,
    choice_verdict,
)
from eseg.deploy.benchmark.choose import Candidate, Choice, choose, members
from eseg.deploy.benchmark.profile import PAPER, Profile
from eseg.deploy.benchmark.timed_network import Subject
from eseg.deploy.benchmark.timing import Times
from eseg.errors import BenchmarkError
from eseg.models import PRESETS

runner = CliRunner()

SIZE = (64, 128)


class Machine:
    """Stands for engines and processes: networks take as long as their size and preset say."""

    def __init__(self, milliseconds, engines=("slow", "fast"), overhead=0.0):
        self.milliseconds, self.engines, self.overhead = milliseconds, engines, overhead
        self.frames = {}
        self.running = set()

    def find_subjects(self, sources, folder, *, engines, **_):
        (preset,) = sources
        return [Subject(preset, folder / preset, engine) for engine in engines or self.engines]

    def start(self, subject):
        return Process(self, subject)


class Process:
    def __init__(self, machine, subject):
        self.machine, self.subject = machine, subject
        machine.running.add(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.machine.running.discard(self)

    def call(self, method, argument):
        if method == "show":
            (image,) = argument
            self.pixels = image.shape[0] * image.shape[1] / (SIZE[0] * SIZE[1])
            return None
        assert self in self.machine.running
        preset = self.subject.name
        key = preset, self.subject.engine
        self.machine.frames[key] = self.machine.frames.get(key, 0) + 1
        slow = 3 if self.subject.engine == "slow" else 1
        takes = self.machine.milliseconds[preset] * self.pixels * slow + self.machine.overhead
        return {"whole": takes / 1000}


TIMES = {
    "eseg_lite_s": 10,
    "eseg_lite_m": 20,
    "eseg_lite_l": 40,
    "eseg_s": 30,
    "eseg_m": 90,
    "eseg_l": 300,
}


@pytest.fixture
def machine(monkeypatch):
    def build(times=TIMES, **options):
        stand_in = Machine(times, **options)
        monkeypatch.setattr(module, "find_subjects", stand_in.find_subjects)
        monkeypatch.setattr(module, "start", stand_in.start)
        monkeypatch.setattr(module, "profile", lambda name, _: Profile(1, 1000 * times[name]))
        return stand_in

    return build


@pytest.mark.parametrize(
    ("fps", "best"),
    [(1.0, "eseg_l"), (10.0, "eseg_m"), (20.0, "eseg_s"), (30.0, "eseg_s"), (45.0, "eseg_lite_m")],
)
def test_the_most_accurate_that_holds_the_rate(machine, fps, best):
    """At 20 images/s eseg_s and eseg_lite_l are equally accurate: the faster one is taken."""
    stand_in = machine()
    choice = choose(fps, SIZE, rounds=4)
    assert choice.best is not None
    assert choice.best.preset == best
    assert choice.engine == "fast"
    assert choice.engines == {"slow": pytest.approx(30), "fast": pytest.approx(10)}
    assert choice.smaller_size is None
    assert not stand_in.running
    assert choice_verdict(choice).startswith(f"{best} is the most accurate")


def test_presets_without_hope_are_timed_once(machine):
    stand_in = machine()
    choice = choose(20.0, SIZE, rounds=4)
    images = {candidate.preset: candidate.images for candidate in choice.candidates}
    assert images["eseg_l"] == 1
    assert images["eseg_m"] == 4  # 90 ms where 50 would do: too slow, but not hopelessly
    assert stand_in.frames[("eseg_l", "fast")] == 1
    assert [c.holds for c in choice.candidates if c.preset in ("eseg_l", "eseg_m")] == [False] * 2
    assert any("single image" in note for note in choice_notes(choice))


def test_a_given_engine_is_not_compared_with_others(machine):
    machine()
    choice = choose(10.0, SIZE, engine="slow", rounds=3)
    assert choice.engine == "slow"
    assert list(choice.engines) == ["slow"]
    assert choice.best is not None
    assert choice.best.preset == "eseg_s"


def test_where_none_holds_the_rate_a_smaller_size_is_found_and_timed(machine):
    machine(overhead=1.0)
    choice = choose(150.0, SIZE, rounds=3)  # 6.7 ms
    assert choice.best is None
    out = choice.smaller_size
    assert out is not None
    assert out.preset == "eseg_lite_s"
    assert out.size == (32, 96)
    assert out.times.p95 == pytest.approx(10 * (32 * 96) / (64 * 128) + 1)
    verdict = choice_verdict(choice)
    assert "no preset holds 150 images/s at 64x128" in verdict
    assert "eseg_lite_s does at 32x96" in verdict


def test_where_no_size_helps_that_is_said(machine):
    machine(overhead=50.0)
    choice = choose(100.0, (256, 512), rounds=3)
    assert choice.best is None
    assert choice.smaller_size is None
    assert "nor at any smaller size" in choice_verdict(choice)


def test_it_is_the_95th_percentile_that_counts():
    def candidate(p95):
        times = Times(median=10.0, p5=9.0, p95=p95)
        return Candidate("eseg_s", 80.1, Profile(1, 1), times, 20, holds=p95 <= 20)

    assert Choice(50.0, SIZE, "x", {}, [candidate(19.0)]).best is not None
    assert Choice(50.0, SIZE, "x", {}, [candidate(21.0)]).best is None


def test_families():
    assert members("all") == list(PRESETS)
    assert members("lite") == ["eseg_lite_s", "eseg_lite_m", "eseg_lite_l"]
    assert members("full") == ["eseg_s", "eseg_m", "eseg_l"]
    assert set(PAPER) == set(PRESETS)
    with pytest.raises(BenchmarkError, match=r"'tiny' is not one of all, lite, full"):
        members("tiny")


@pytest.mark.parametrize("fps", [0.0, -3.0, float("inf"), float("nan")])
def test_rates_that_make_no_sense(fps):
    with pytest.raises(BenchmarkError, match="above 0 images per second"):
        choose(fps, SIZE)


def test_table_and_json_hold_what_was_measured(machine):
    machine()
    choice = choose(30.0, SIZE, family="lite", rounds=3)
    console = Console(file=io.StringIO(), width=80)
    print_table(choice_table(choice), console)
    rows = {line.split()[0]: line for line in console.file.getvalue().splitlines() if line.split()}
    assert "76.0" in rows["eseg_lite_s"]
    assert "yes" in rows["eseg_lite_m"]
    assert "no" in rows["eseg_lite_l"]
    told = json.loads(json.dumps(choice_dict(choice)))
    assert told["best"] == "eseg_lite_m"
    assert [preset["name"] for preset in told["presets"]] == members("lite")
    assert told["presets"][1]["whole_ms"]["median"] == pytest.approx(20)
    assert told["presets"][1]["macs"] == 20_000
    assert any("not measured here" in note for note in choice_notes(choice))


@pytest.mark.parametrize(
    ("fps", "code", "part"),
    [(30, 0, "eseg_s is the most accurate"), (400, 1, "no preset holds 400")],
)
def test_the_exit_code_tells_whether_one_holds_it(machine, fps, code, part):
    machine()
    words = ["choose", "--fps", str(fps), "--size", "64x128", "--rounds", "2"]
    result = runner.invoke(app, words)
    assert result.exit_code == code, result.output
    assert part in result.output
    assert json.loads(runner.invoke(app, [*words, "--json"]).output)["fps"] == fps


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--fps", "0"], "--fps 0"),
        (["--fps", "30", "--family", "tiny"], "'--family': 'tiny'"),
        (["--fps", "30", "--size", "640"], "'640' is not HEIGHTxWIDTH"),
        (
            ["--fps", "30", "--size", "64x128", "--engine", "warp"],
            "'--engine': 'warp' is not one of",
        ),
    ],
)
def test_what_a_person_can_mend_is_one_line(words, part):
    result = runner.invoke(app, ["choose", *words])
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert part in result.output.replace("\n", " ")
