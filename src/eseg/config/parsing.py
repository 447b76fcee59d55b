"""Plain values to dataclasses: pydantic validates, and the messages are written for people."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import operator
import reprlib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypeVar

import pydantic
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import TypedDict  # pydantic refuses typing's before Python 3.12

from eseg.errors import ConfigError

Config = TypeVar("Config")
Place = tuple[str | int, ...]
"""Keys and list indices that lead to a value: ("classes", 3, "ids")."""

ExtraKeys = tuple[tuple[type, str, Any], ...]
"""Keys that a dataclass does not have, each as (dataclass, key, type)."""

_WORDS = {
    int: ("a whole number", "whole numbers"),
    float: ("a finite number", "finite numbers"),
    bool: ("true or false", "true or false"),
    str: ("text", "texts"),
    Path: ("a path", "paths"),
    types.NoneType: ("null", "null"),
}
_UNIONS = (types.UnionType, typing.Union)
_SETTINGS = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)


def parse(kind: type[Config], raw: Any, extra: ExtraKeys = ()) -> Config:
    """Check plain values against the dataclass `kind` and build it.

    Values are converted where nothing is lost: 3 to 3.0, "3" and 3.0 to 3, "1e-4" (text to YAML)
    to a number. A single value stands for a list of one where a list of any length is expected.

    Args:
        kind: A dataclass of text, numbers, booleans, paths, `Literal`s, dataclasses, tuples,
            `dict`s by text, and unions of these.
        raw: The values by field.
        extra: Further keys that the values of a dataclass may have; they are checked and left out.

    Raises:
        ConfigError: Keys or values are wrong; the message names all of them with their places.
    """
    try:
        return _adapter(kind, extra).validate_python(raw)
    except pydantic.ValidationError as error:
        findings = dict.fromkeys(_finding(kind, problem, extra) for problem in error.errors())
    raise ConfigError("; ".join(findings))


@functools.cache
def _adapter(kind: type[Any], extra: ExtraKeys) -> pydantic.TypeAdapter:
    return pydantic.TypeAdapter(_validated(kind, extra))


def _validated(kind: Any, extra: ExtraKeys) -> Any:
    """Return the type that pydantic validates in place of `kind`.

    It refuses booleans for numbers and empty dicts, and takes a single value for a list of one. A
    dataclass is validated as a `TypedDict` first: pydantic takes no settings for a plain one.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        fields = dataclasses.fields(kind)
        required = {x.name for x in fields if x.default is x.default_factory is dataclasses.MISSING}
        keys = {key: _validated(inner, extra) for key, inner in _keys(kind, extra).items()}
        keys = {key: x if key in required else NotRequired[x] for key, x in keys.items()}
        values = TypedDict("values", keys)  # pyright: ignore[reportArgumentType]
        build = functools.partial(_build, kind)
        return Annotated[pydantic.with_config(_SETTINGS)(values), pydantic.AfterValidator(build)]
    if origin is tuple and arguments[-1] is Ellipsis:
        return Annotated[
            tuple[_validated(arguments[0], extra), ...], pydantic.BeforeValidator(_as_list)
        ]
    if origin is tuple:
        return tuple[tuple(_validated(argument, extra) for argument in arguments)]
    if origin is dict:
        return Annotated[dict[str, _validated(arguments[1], extra)], pydantic.Field(min_length=1)]
    if origin in _UNIONS:
        return functools.reduce(operator.or_, (_validated(x, extra) for x in arguments))
    return (
        Annotated[kind, pydantic.BeforeValidator(_refuse_boolean)] if kind in (int, float) else kind
    )


def _keys(kind: Any, extra: ExtraKeys) -> dict[str, Any]:
    """List the keys that a dataclass's values may have, with their types."""
    further = {key: inner for owner, key, inner in extra if owner is kind}
    return further | typing.get_type_hints(kind)


def _build(kind: Any, values: dict[str, Any]) -> Any:
    return kind(**{key: x for key, x in values.items() if key in kind.__dataclass_fields__})


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _refuse_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("boolean", "a boolean in place of a number")
    return value


def _finding(kind: Any, problem: ErrorDetails, extra: ExtraKeys) -> str:
    """Write one of pydantic's findings as 'place: problem'."""
    location, name, value = problem["loc"], problem["type"], problem["input"]
    *above, (place, found) = _kinds_along(kind, location, extra)
    if name == "missing" and typing.get_origin(_without_null(above[-1][1])) is tuple:
        place, found = above[-1]  # A list that is too short: it is to blame, not the gap.
        text = _expected(found, value)
    elif name == "missing":
        text = "missing"
    elif name == "extra_forbidden":
        place = location
        text = _unknown(str(location[-1]), list(_keys(_without_null(found), extra)))
    elif name == "invalid_key" or location[-1:] == ("[key]",):
        place = location[: -1 if name == "invalid_key" else -2]
        text = f"expected keys that are text, got {_shown(value)}; put quotes around it"
    elif name == "value_error":
        text = str(problem["ctx"]["error"])  # pyright: ignore[reportTypedDictNotRequiredAccess]
    else:
        text = _expected(found, value)
    return f"{_written(place)}: {text}"


def _kinds_along(kind: Any, location: Place, extra: ExtraKeys) -> list[tuple[Place, Any]]:
    """List the places on the way to a location with their types, as far as types know them."""
    steps: list[tuple[Place, Any]] = [((), kind)]
    for end, part in enumerate(location, start=1):
        outer = _without_null(steps[-1][1])
        origin, arguments = typing.get_origin(outer), typing.get_args(outer)
        if dataclasses.is_dataclass(outer) and part in (keys := _keys(outer, extra)):
            inner = keys[str(part)]
        elif origin is tuple and isinstance(part, int):
            inner = arguments[0 if arguments[-1] is Ellipsis else part]
        elif origin is dict:
            inner = arguments[1]
        else:
            break  # An unknown key, or a name that pydantic gives to a member of a union.
        steps.append((location[:end], inner))
    return steps


def _unknown(key: str, allowed: list[str]) -> str:
    close = difflib.get_close_matches(key, allowed, n=1)
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
    if origin in _UNIONS:
        return " or ".join(_in_words(argument, plural) for argument in arguments)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin is tuple:
        count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} "
        return f"{'lists' if plural else 'a list'} of {count}{_in_words(arguments[0], plural=True)}"
    return _WORDS[kind][plural] if kind in _WORDS else "keys with values"


def _without_null(kind: Any) -> Any:
    """Return the only other member of a union with None; anything else as is."""
    inner = [x for x in typing.get_args(kind) if x is not types.NoneType]
    return inner[0] if typing.get_origin(kind) in _UNIONS and len(inner) == 1 else kind


def _shown(value: Any) -> str:
    """Write a value as YAML has it, a long one shortened."""
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    return reprlib.repr(list(value) if isinstance(value, tuple) else value)


def _written(place: Place) -> str:
    """Write a place as people do: classes[3].ids."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return "".join(parts).lstrip(".") or "the file"
