"""Files that are not valid YAML, and values that YAML silently misreads."""

import pytest

from eseg.config.yaml_text import dump_yaml, parse_yaml, read_yaml
from eseg.errors import ConfigError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected keys with values, got nothing"),
        (b"- a\n", r"expected keys with values, got \['a'\]"),
        (b"name: [", "not valid YAML: line 1, column 8: "),
        (b"a: 1\nb:\n\t- c\n", "not valid YAML: line 3, column 1: "),
        (
            b"!!python/object/apply:os.getcwd []",
            "not valid YAML: line 1, column 1: .*python/object",
        ),
        (b"\x00", "not valid YAML: unacceptable character"),
        (b"\xff\xfe\xff", "cannot be read as text"),
        (b"a: 1\nb: {c: 2, c: 3}", "not valid YAML: line 2, column 11: the key 'c' is given twice"),
    ],
)
def test_files_that_hold_no_keys(tmp_path, content, message):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"^{path}: {message}") as error:
        read_yaml(path)
    assert "\n" not in str(error.value)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ConfigError, match=rf"^{tmp_path}/gone.yaml: no such file$"):
        read_yaml(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match=rf"^{tmp_path}: cannot be read as text"):
        read_yaml(tmp_path)


@pytest.mark.parametrize(("text", "number"), [("010", 8), ("-017", -15), ("00", 0), ("1:30", 90)])
def test_numbers_to_the_base_of_8_and_60_are_refused(text, number):
    with pytest.raises(ConfigError, match=rf"'{text}' is {number} in YAML; write {number}, or put"):
        parse_yaml(f"ids: [{text}]")
    assert parse_yaml(f"'{text}'") == text


def test_other_values_are_those_of_yaml():
    text = "{a: 0, b: -12, c: 1_000, d: 0x1F, e: 1.5, f: null, g: yes, h: 1e-4, i: 0.5, <<: {z: 1}}"
    assert parse_yaml(text) == {
        "a": 0, "b": -12, "c": 1000, "d": 31, "e": 1.5, "f": None, "g": True, "h": "1e-4",
        "i": 0.5, "z": 1,
    }  # fmt: skip


def test_short_lists_stand_on_one_line():
    values = {"colours": [[1, 2, 3], [4, 5, 6]], "names": ["a", "ü"], "root": "."}
    text = dump_yaml(values, short_lists=True)
    assert text.splitlines()[:3] == ["colours:", "- [1, 2, 3]", "- [4, 5, 6]"]
    assert parse_yaml(text) == parse_yaml(dump_yaml(values)) == values
    assert "- a\n- ü\n" in text
