"""Objects that live in processes of their own, each with its own memory and threads."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from eseg.errors import BenchmarkError


class Remote(AbstractContextManager["Remote"]):
    """An object in a fresh process; calls of its methods and their results travel between the two.

    The process starts at once and makes the object, by a function or class that is importable by
    its name; the first call waits for that. Errors of the methods are raised here.
    """

    def __init__(self, name: str, make: Callable[..., Any], *arguments: Any) -> None:
        self.name = name
        # Forked processes would share the memory of this one and break CUDA and thread pools.
        context = multiprocessing.get_context("spawn")
        self._executor = ProcessPoolExecutor(1, context, initializer=_ignore_interrupts)
        before = set(multiprocessing.active_children())
        self._made = self._executor.submit(_make, make, arguments)
        self._processes = set(multiprocessing.active_children()) - before

    def call(self, method: str, *arguments: Any) -> Any:
        """Return the result of a method; raise `BenchmarkError` if the process has ended."""
        try:
            self._made.result()
            return self._executor.submit(_call, method, arguments).result()
        except RuntimeError as error:  # BrokenProcessPool is one of them
            is_alive = any(process.is_alive() for process in self._processes)
            if isinstance(error, BrokenProcessPool) or not is_alive:
                raise BenchmarkError(
                    f"{self.name}: its process has ended, most likely because the memory is full; "
                    "take smaller images or fewer networks"
                ) from None
            raise

    def close(self) -> None:
        """End the process, whatever it is doing."""
        for process in self._processes:
            process.kill()
        self._executor.shutdown(cancel_futures=True)

    def __exit__(self, *_: object) -> None:
        self.close()


_made: Any = None
"""The object of a process that serves one."""


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this one


def _make(make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    global _made
    _made = make(*arguments)


def _call(method: str, arguments: tuple[Any, ...]) -> Any:
    return getattr(_made, method)(*arguments)
