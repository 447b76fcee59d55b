"""Settings of a folder's content: written at the beginning, compared when work resumes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eseg.errors import DataError
from eseg.runtime.writing import output_errors, write_json

_MAX_LISTED = 8
_MAX_CHARACTERS = 60


def is_begun(
    path: Path, settings: Mapping[str, Any], remedy: str, *, may_change: Sequence[str] = ()
) -> bool:
    """Return whether a folder was begun before with the same settings.

    Args:
        path: File of `write_settings`, if the folder was begun.
        settings: Present settings: plain values, possibly in nested dicts.
        remedy: Advice for other settings, besides restoring them.
        may_change: Prefixes of dotted keys that are not compared.

    Raises:
        DataError: The folder was begun with other settings; the message names those that differ.
    """
    if not path.exists():
        return False
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = list_changes(before, settings, may_change)
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: damaged ({error}); {remedy}") from None
    if changed:
        more = f" and {len(changed) - _MAX_LISTED} more" if len(changed) > _MAX_LISTED else ""
        raise DataError(
            f"{path.parent} was made with other settings: {', '.join(changed[:_MAX_LISTED])}"
            f"{more}; restore them, or {remedy}"
        )
    return True


def list_changes(
    before: Mapping[str, Any], now: Mapping[str, Any], may_change: Sequence[str] = ()
) -> list[str]:
    """Describe the differences between two settings as for `is_begun`, one text per value."""
    # As a file gives them back: lists for tuples.
    old, new = (_flatten(json.loads(json.dumps(values))) for values in (before, now))
    return [
        f"{key} (was {_shorten(old.get(key))}, now {_shorten(new.get(key))})"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not key.startswith(tuple(may_change))
    ]


def write_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings that `is_begun` compares.

    Raises:
        OutputError: The file cannot be written.
    """
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, settings)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _shorten(value: Any) -> str:
    """Format a value as JSON, with the middle of long ones left out."""
    text, half = json.dumps(value), _MAX_CHARACTERS // 2
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:half]}...{text[-half:]}"
