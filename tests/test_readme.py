"""Blocks of the README: commands parse, YAML loads and Python runs."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import torch
import typer

import eseg
from eseg.cli import app, spell_out_scales
from eseg.config import load_dataset

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def shell_lines():
    for language, block in BLOCKS:
        if language == "bash":
            for line in block.replace("\\\n", " ").splitlines():
                yield from (part.strip() for part in line.split("&&") if part.strip())


COMMANDS = [line for line in shell_lines() if re.match(r"(\S*/)?eseg |torchrun .*-m eseg ", line)]


def test_the_first_two_blocks_set_up_and_do_the_work():
    (language, first), (_, second) = BLOCKS[:2]
    assert language == "bash"
    assert len(first.strip().splitlines()) == len(second.strip().splitlines()) == 1
    assert first.strip().endswith("eseg quickstart")
    assert second.strip().endswith("pytest")
    assert all("-c constraints.txt" in block for block in (first, second))


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_parses(line, monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda _: True)  # the reader's files, not ours
    words = shlex.split(line, comments=True)
    words = words[words.index("eseg") + 1 :] if "eseg" in words else words[1:]
    verb = typer.main.get_command(app).commands[words[0]]
    verb.make_context(words[0], spell_out_scales(words[1:]))  # raises where it would be refused


def test_the_dataset_yaml_loads(tmp_path):
    (block,) = [block for language, block in BLOCKS if language == "yaml"]
    path = tmp_path / "yard.yaml"
    path.write_text(block)
    config = load_dataset(path)
    assert config.labels_by_value()[8] == 0
    assert [entry.name for entry in config.classes] == ["ground", "fence"]


def test_the_python_block_runs(toy_run, tmp_path, monkeypatch):
    from PIL import Image

    (block,) = [block for language, block in BLOCKS if language == "python"]
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 30)).save("street.jpg")
    best = Path("runs/camvid_cpu_1h/best.pt")
    best.parent.mkdir(parents=True)
    best.write_bytes((toy_run.folder / "best.pt").read_bytes())
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["logits"].shape == (1, 11, 360, 480)
    image = torch.rand(1, 3, 20, 20)
    torch.testing.assert_close(names["fast"](image), names["model"](image), rtol=1e-3, atol=1e-4)
    assert Path("street_overlay.png").is_file()


def test_every_file_it_links_to_exists():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target


def test_the_public_names_are_there():
    assert all(getattr(eseg, name) is not None for name in eseg.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = eseg.nonsense


def test_nothing_waits_to_be_filled_in():
    text = README.read_text(encoding="utf-8")
    assert not re.search(r"@[A-Z]+@", text)
    for name in re.findall(r"<!-- begin (\w+) -->", text):
        filled = re.search(f"<!-- begin {name} -->(.*?)<!-- end {name} -->", text, re.DOTALL)
        assert filled is not None
        assert filled[1].count("|---") >= 1


def test_its_results_are_those_in_the_files(monkeypatch):
    monkeypatch.chdir(README.parent)
    spec = importlib.util.spec_from_file_location("tables", Path("benchmarks/tables.py"))
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    text = README.read_text(encoding="utf-8")
    for name, parts in tables.TABLES.items():
        assert tables.fill(text, name, tables.results(parts)) == text
