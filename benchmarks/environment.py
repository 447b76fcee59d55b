"""What every benchmark says about the machine and the versions that it ran with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path


def describe_environment(packages: Iterable[str] = ("eseg", "numpy", "torch")) -> dict[str, object]:
    """Hardware, commit and versions.

    Args:
        packages: Names of the distributions whose versions matter.

    Returns:
        CPU model, cores that this process may use, GPU name (None without one), commit (with
        `-dirty` where tracked files differ from it, None outside a checkout), Python and packages.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Not on macOS.
    return {
        "cpu": _cpu_model(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "gpu": _gpu_model(),
        "commit": _commit(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _gpu_model() -> str | None:
    import torch  # Slow to import, and not every benchmark needs it otherwise.

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _commit() -> str | None:
    def git(*arguments: str) -> str:
        command = ("git", "-C", str(Path(__file__).parent), *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
