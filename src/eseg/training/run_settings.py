"""What a folder's content is made with: noted at the beginning, compared when work goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eseg.errors import DataError
from eseg.runtime.writing import replacing

_LISTED = 8
_SHOWN = 30


def is_begun(
    path: Path, settings: Mapping[str, Any], remedy: str, *, may_change: Sequence[str] = ()
) -> bool:
    """Whether a folder was begun before, and with the same settings.

    Args:
        path: The file that `write_settings` made, if it did.
        settings: What the folder would be made with now: plain values, in nested dicts perhaps.
        remedy: What to do about other settings, beside restoring them.
        may_change: Beginnings of keys that are noted, but not compared.

    Raises:
        DataError: It was begun with other settings; the message names all that differ.
    """
    if not path.exists():
        return False
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = changes(before, settings, may_change)
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: damaged ({error}); {remedy}") from None
    if changed:
        more = f" and {len(changed) - _LISTED} more" if len(changed) > _LISTED else ""
        raise DataError(
            f"{path.parent} was made with other settings: {', '.join(changed[:_LISTED])}{more}; "
            f"restore them, or {remedy}"
        )
    return True


def changes(
    before: Mapping[str, Any], now: Mapping[str, Any], may_change: Sequence[str] = ()
) -> list[str]:
    """What differs between two settings, a text for each value.

    Args:
        before: Plain values, in nested dicts perhaps.
        now: The same.
        may_change: Beginnings of keys that are passed over; those of inner dicts follow dots.
    """
    old, new = _flat(_as_json(before)), _flat(_as_json(now))
    return [
        f"{key} (was {_shown(old.get(key))}, now {_shown(new.get(key))})"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not key.startswith(tuple(may_change))
    ]


def write_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Note what the folder of this file is made with; `is_begun` compares it.

    Raises:
        DataError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error}); make room or choose another --output"
        ) from error


def _as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as they come back from a file: lists for tuples."""
    return json.loads(json.dumps(settings))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _shown(value: Any) -> str:
    """A value as its file has it, long ones cut in the middle."""
    text = json.dumps(value)
    return text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]}...{text[-_SHOWN:]}"
