"""Plain values into dataclasses; pydantic judges the values, the messages are for people."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import reprlib
import types
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from eseg.errors import ConfigError

Config = TypeVar("Config")
Place = tuple[str | int, ...]
"""Where a value stands: ("classes", 3, "ids")."""

_WORDS = {
    int: ("a whole number", "whole numbers"),
    float: ("a finite number", "finite numbers"),
    bool: ("true or false", "true or false"),
    str: ("text", "texts"),
    Path: ("a path", "paths"),
    types.NoneType: ("null", "null"),
}
_SETTINGS = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)


def parse(
    kind: type[Config], raw: Any, choices: Mapping[Place, Collection[str]] | None = None
) -> Config:
    """Check plain values against the dataclass `kind` and build it.

    Values are converted where nothing is lost: 3 to 3.0, "3" and 3.0 to 3, "1e-4" (text to YAML)
    to a number. A lone value stands for a list of one where a list of any length is wanted.

    Args:
        kind: A dataclass of text, numbers, booleans, paths, `Literal`s, dataclasses, tuples,
            `dict`s by text, and unions of these.
        raw: The values by field.
        choices: Keys beside those of the dataclasses, by place, with the texts that each may
            have; they are checked and left out.

    Raises:
        ConfigError: Keys or values are wrong; the message names all of them with their places.
    """
    document = _Document(choices or {})
    prepared = document.prepare(kind, raw, ())
    try:
        (config,) = _adapter(kind).validate_python((prepared,))
        if not document.findings:
            return config
    except pydantic.ValidationError as error:
        for problem in error.errors():
            document.add(problem["loc"][1:], problem)
    lines = (f"{_written(place)}: {text}" for place, text in document.findings.items())
    raise ConfigError("; ".join(lines))


@functools.cache
def _adapter(kind: type[Any]) -> pydantic.TypeAdapter:
    # pydantic takes settings for a plain dataclass only from a type around it.
    around: Any = types.GenericAlias(tuple, (kind,))
    return pydantic.TypeAdapter(around, config=_SETTINGS)


class _Document:
    """One set of values on its way: the kinds that belong to its places, and what is wrong."""

    def __init__(self, choices: Mapping[Place, Collection[str]]) -> None:
        self.choices = choices
        self.kinds: dict[Place, Any] = {}
        self.findings: dict[Place, str] = {}

    def prepare(self, kind: Any, value: Any, place: Place) -> Any:
        """Make lone values lists of one; find what pydantic lets pass (true for 1, an empty dict).

        Records the kind of every place on the way.
        """
        self.kinds.setdefault(place, kind)
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin in (types.UnionType, typing.Union):
            inner = [argument for argument in arguments if argument is not types.NoneType]
            if value is None or len(inner) > 1:
                return value
            return self.prepare(inner[0], value, place)
        if origin is tuple and arguments[-1] is Ellipsis:
            items = value if isinstance(value, list | tuple) else [value]
            return [self.prepare(arguments[0], x, (*place, i)) for i, x in enumerate(items)]
        if origin is tuple and isinstance(value, list | tuple) and len(value) == len(arguments):
            pairs = zip(arguments, value, strict=True)
            return [self.prepare(inner, x, (*place, i)) for i, (inner, x) in enumerate(pairs)]
        if isinstance(value, Mapping) and (origin is dict or dataclasses.is_dataclass(kind)):
            return self._prepare_keys(kind, value, place)
        if isinstance(value, bool) and kind in (int, float):
            self.findings[place] = _expected(kind, value)
        return value

    def _prepare_keys(self, kind: Any, value: Mapping[Any, Any], place: Place) -> dict[str, Any]:
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            shown = ", ".join(map(_shown, odd))
            self.findings[place] = f"expected keys that are text, got {shown}; put quotes around it"
        if dataclasses.is_dataclass(kind):
            kinds = typing.get_type_hints(kind)
        else:
            if not value:
                self.findings[place] = _expected(kind, value)
            kinds = dict.fromkeys(value, typing.get_args(kind)[1])
        prepared = {}
        for key, item in value.items():
            here = (*place, key)
            if here in self.choices:
                if item not in tuple(self.choices[here]):  # The item may be unhashable.
                    allowed = ", ".join(self.choices[here])
                    self.findings[here] = f"expected one of {allowed}, got {_shown(item)}"
            elif key not in odd:
                prepared[key] = self.prepare(kinds[key], item, here) if key in kinds else item
        return prepared

    def add(self, location: Place, problem: Any) -> None:
        """Add one of pydantic's findings, unless its place has one already."""
        # A location can go on with pydantic's own names, or to items that are not there.
        place = location
        while place not in self.kinds:
            place = place[:-1]
        kind, name = _without_null(self.kinds[place]), problem["type"]
        if name == "unexpected_keyword_argument":
            place, text = location, self._unknown(kind, location)
        elif name == "missing" and dataclasses.is_dataclass(kind):
            place, text = location, "missing"
        elif name == "value_error":
            text = str(problem["ctx"]["error"])
        else:
            text = _expected(self.kinds[place], problem["input"])
        self.findings.setdefault(place, text)

    def _unknown(self, kind: Any, place: Place) -> str:
        allowed = [str(choice[-1]) for choice in self.choices if choice[:-1] == place[:-1]]
        allowed += [field.name for field in dataclasses.fields(kind)]
        close = difflib.get_close_matches(str(place[-1]), allowed, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        return f"unknown key; {hint}allowed: {', '.join(allowed)}"


def _expected(kind: Any, value: Any) -> str:
    hint = ""
    if _without_null(kind) is str and not isinstance(value, Mapping | list | tuple):
        hint = "; put quotes around it"
        if isinstance(value, bool):
            hint = ", as YAML reads a bare yes, no, on or off; put quotes around it"
    return f"expected {_in_words(kind)}, got {_shown(value)}{hint}"


def _in_words(kind: Any, plural: bool = False) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_in_words(argument, plural) for argument in arguments)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin is tuple:
        count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} "
        return f"{'lists' if plural else 'a list'} of {count}{_in_words(arguments[0], plural=True)}"
    return _WORDS[kind][plural] if kind in _WORDS else "keys with values"


def _without_null(kind: Any) -> Any:
    """The only other member of a union with None; anything else as it is."""
    inner = [x for x in typing.get_args(kind) if x is not types.NoneType]
    is_union = typing.get_origin(kind) in (types.UnionType, typing.Union)
    return inner[0] if is_union and len(inner) == 1 else kind


def _shown(value: Any) -> str:
    """A value as its YAML has it, long ones cut."""
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    return reprlib.repr(list(value) if isinstance(value, tuple) else value)


def _written(place: Place) -> str:
    """A place as people write it: classes[3].ids."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return "".join(parts).lstrip(".") or "the file"
