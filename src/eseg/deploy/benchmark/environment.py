"""Description of the machine and the versions that a measurement was taken with."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from eseg.data.cores import usable_cores


def describe_environment(
    packages: Iterable[str] = ("eseg", "numpy", "torch"),
) -> dict[str, str | int | None]:
    """Describe hardware, commit and versions of Python and of `packages`.

    The cores are those that this process may use. None stands for no GPU, for a package that is not
    installed, and for the commit outside a checkout of eseg; `-dirty` is added to the commit where
    tracked files differ from it.
    """
    import torch  # slow to import, and not every measurement needs it otherwise

    return {
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "commit": _commit(),
        "python": platform.python_version(),
        **{name: _version(name) for name in packages},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name.*?:(.*)", info.read_text(), re.M) if info.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _commit() -> str | None:
    file = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        command = ("git", "-C", str(file.parent), *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # An installed copy may lie within somebody else's repository, which does not know it.
        git("ls-files", "--error-unmatch", file.name)
        return git("describe", "--always", "--dirty", "--exclude=*", "--abbrev=40")
    except (OSError, subprocess.CalledProcessError):
        return None
