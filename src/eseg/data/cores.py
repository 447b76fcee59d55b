"""Numbers of processor cores that this process may use; CPU affinity is respected."""

from __future__ import annotations

from pathlib import Path

import psutil


def usable_cores() -> int:
    """Count the logical cores that this process may use."""
    return len(_usable())


def physical_cores() -> int:
    """Count the physical cores that this process may use; hardware threads of one count once."""
    siblings = set()
    for core in _usable():
        path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
        if not path.exists():  # Not Linux: nothing says which threads share a core.
            return min(usable_cores(), psutil.cpu_count(logical=False) or usable_cores())
        siblings.add(path.read_text())
    return len(siblings)


def _usable() -> list[int]:
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # Not on macOS.
        return process.cpu_affinity()
    return list(range(psutil.cpu_count() or 1))
