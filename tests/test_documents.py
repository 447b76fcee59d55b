"""Rules for all Markdown files: length of lines, and relative links that lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
MAX_LENGTH = 120


def name(path):
    return path.relative_to(ROOT).as_posix()


def prose(text):
    """The text without fenced blocks and inline code, in which brackets are not links."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`]*`", "`code`", text)


def anchors(text):
    """The anchors of a document's headings, as GitHub makes them."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_documents_are_found():
    assert {"README.md", "docs/architecture.md"} <= {name(path) for path in DOCUMENTS}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_lines_are_not_too_long(path):
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    too_long = {
        number: line
        for number, line in lines
        if len(line) > MAX_LENGTH and not re.fullmatch(r"[-*<\s]*https?://\S+", line)
    }
    assert not too_long


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_relative_links_lead_to_files_and_headings(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text(encoding="utf-8"))):
        if re.match(r"\w+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = path.parent / target if target else path
        assert file.exists(), link
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), link


def test_a_link_is_seen_and_code_is_not():
    text = "[a](b.md) `[c](d.md)`\n```\n[e](f.md)\n```\n"
    assert re.findall(r"\]\(([^)\s]+)\)", prose(text)) == ["b.md"]
    assert anchors("# From Python\n## `--fix-config`\n```\n# not this\n```\n") == {
        "from-python",
        "--fix-config",
    }
