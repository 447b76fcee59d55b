"""YAML text to plain values and back; values that YAML silently misreads are refused."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from eseg.errors import ConfigError


@contextmanager
def errors_at(place: object) -> Iterator[None]:
    """Put a file or key in front of the message of a `ConfigError`."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file of keys with values.

    Raises:
        ConfigError: The file is missing, is not text or YAML, repeats a key, or has no keys.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text ({error})") from None
    with errors_at(path):
        value = parse_yaml(text)
    if not isinstance(value, dict):
        found = "nothing" if value is None else repr(value)
        raise ConfigError(f"{path}: expected keys with values, got {found}")
    return value


def parse_yaml(text: str) -> Any:
    """Read one YAML value.

    Raises:
        ConfigError: It is not valid, repeats a key, or has a number to the base of 8 or 60.
    """
    try:
        return yaml.load(text, _Loader)  # A SafeLoader: no tag constructs objects.
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"not valid YAML: {place}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {' '.join(str(error).split())}") from None


# Not ruamel.yaml: PyYAML is installed anyway, for timm's huggingface_hub, and this loader refuses
# what YAML 1.2 has changed for good reason.
class _Loader(yaml.SafeLoader):
    """A SafeLoader that refuses repeated keys and numbers to the base of 8 or 60."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse a repeated key, of which PyYAML would keep the last value."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise _refusal(f"the key '{key.value}' is given twice", key)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Refuse 010, which YAML 1.1 reads as 8, and 1:30, which it reads as 90."""
        number = super().construct_yaml_int(node)
        digits = node.value.lstrip("+-").replace("_", "")
        if (digits.isdigit() and digits != "0" and digits.startswith("0")) or ":" in digits:
            raise _refusal(
                f"'{node.value}' is {number} in YAML; write {number}, or put quotes around text",
                node,
            )
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _refusal(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)


def dump_yaml(values: Mapping[str, Any], *, short_lists: bool = False) -> str:
    """Return plain values as YAML text, keys in their order.

    Args:
        values: What to write.
        short_lists: If True, lists of integers, such as colours, stand on one line.
    """
    dumper = _ShortListDumper if short_lists else yaml.SafeDumper
    return yaml.dump(dict(values), Dumper=dumper, sort_keys=False, allow_unicode=True)


class _ShortListDumper(yaml.SafeDumper):
    """A SafeDumper that writes lists of integers in flow style."""

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> Any:
        """Leave all other lists to PyYAML."""
        short = all(isinstance(value, int) for value in sequence)
        return super().represent_sequence(tag, sequence, flow_style=short or flow_style)
