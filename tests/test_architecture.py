"""The rules that keep the package in order, checked on the source itself."""

import ast
import re
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import eseg

PACKAGE = Path(eseg.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
DOCUMENT = Path(__file__).parents[1] / "docs" / "architecture.md"

SHARED_NAMES = {"__init__.py": "every package has one"}
"""Files whose name may occur twice, with the reason."""


def module_of(path: Path) -> str:
    parts = ("eseg", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imports_of(path: Path) -> set[str]:
    """Modules of the package that a file imports when it is run, types alone left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).startswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in full}
    return found & MODULES.keys()


def test_no_two_modules_import_each_other_in_a_circle():
    graph = {name: imports_of(path) - {name} for name, path in MODULES.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssertionError(f"circle: {' -> '.join(error.args[1])}") from None


def test_no_command_line_option_outside_the_command_line():
    option = re.compile(r"(?<![\w-])--[a-z]")
    found = [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for path in FILES
        if path.relative_to(PACKAGE).parts[0] != "cli"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if option.search(line) and "git(" not in line  # git has options of its own
    ]
    assert not found, "\n".join(found)


def test_no_two_files_share_a_name():
    counts = Counter(path.name for path in FILES)
    repeated = {name for name, count in counts.items() if count > 1}
    assert repeated <= SHARED_NAMES.keys()


def test_files_stay_readable():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {str(p.relative_to(PACKAGE)): n for p, n in lengths.items() if n > 310} == {}


def test_module_docstrings_name_the_thing():
    openings = re.compile(r"(What|Whether|How|Which|From|Where|Who)\b")
    found = {
        str(path.relative_to(PACKAGE)): first
        for path in FILES
        if openings.match(first := (ast.get_docstring(ast.parse(path.read_text())) or "What"))
    }
    assert found == {}


def test_no_error_class_outside_the_module_of_errors():
    found = [
        f"{module}.{node.name}"
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
    ]
    assert found
    assert {name.rpartition(".")[0] for name in found} == {"eseg.errors"}


def test_the_document_lists_the_rooms_that_there_are():
    """Folders and files at the top of the package, and the parts of `deploy`."""
    text = DOCUMENT.read_text(encoding="utf-8")
    table = re.findall(r"^\| `([\w/.]+)` \|", text, re.MULTILINE)
    rooms = {f"{path.name}/" for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    files = {p.name for p in PACKAGE.glob("*.py") if not p.name.startswith("__")}
    assert sorted(table) == sorted(rooms | files)
