"""Options of a config handed to the functions whose signatures name them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any


def options_for(function: Callable[..., Any], config: Any) -> dict[str, Any]:
    """Select the fields of a config that a function has parameters for."""
    parameters = inspect.signature(function).parameters
    return {f.name: getattr(config, f.name) for f in fields(config) if f.name in parameters}


def require_taken(
    config: Any, options: Sequence[str], functions: Mapping[str, Callable[..., Any]]
) -> None:
    """Raise ValueError if an option differs from its default but no function has it.

    Args:
        config: A dataclass.
        options: The fields to check.
        functions: The functions that the config chooses, by name.
    """
    taken = set().union(*(options_for(function, config) for function in functions.values()))
    defaults = {field.name: field.default for field in fields(config)}
    for name in options:
        if name not in taken and getattr(config, name) != defaults[name]:
            verb = "do" if len(functions) > 1 else "does"
            raise ValueError(f"{name}: {' and '.join(functions)} {verb} not have this option")
