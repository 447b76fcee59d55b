"""Every recipe of docs/extend.md runs as it stands."""

import re
import runpy
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "extend.md"
TEXT = PAGE.read_text(encoding="utf-8")
RECIPES = [
    (re.findall(r"^## (.+)$", TEXT[: block.start()], re.MULTILINE)[-1], block[1])
    for block in re.finditer(r"```python\n(.*?)```", TEXT, re.DOTALL)
]


def registries():
    """Every dict of constants in a module of eseg, by the id of the dict."""
    modules = [m for name, m in sorted(sys.modules.items()) if name.partition(".")[0] == "eseg"]
    values = [v for m in modules for k, v in vars(m).items() if k.isupper() and isinstance(v, dict)]
    return {id(value): value for value in values}


@pytest.fixture
def restored():
    """Removes what a recipe registers when the test is over."""
    before = {key: (value, dict(value)) for key, value in registries().items()}
    yield
    for value, content in before.values():
        value.clear()
        value.update(content)


@pytest.mark.parametrize("recipe", [pytest.param(code, id=title) for title, code in RECIPES])
def test_recipe_runs(recipe, restored, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "recipe.py"
    path.write_text(recipe, encoding="utf-8")
    runpy.run_path(str(path), run_name="recipe")


def test_every_section_has_a_recipe():
    sections = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    assert {title for title, _ in RECIPES} == set(sections)
    assert len(sections) >= 4


def test_lines_are_short():
    assert all(len(line) <= 120 for line in TEXT.splitlines())
