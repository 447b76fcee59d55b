"""Objects that live in processes of their own, each with its own memory and threads."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from eseg.errors import BenchmarkError


class Remote:
    """An object in a fresh process; calls of its methods and their results travel between the two.

    The process starts at once and makes the object; the first call waits for that. What its methods
    raise is raised here.

    Args:
        name: What to call it in messages.
        make: What makes the object: a function or class that can be imported by its name.
        *arguments: What for.
    """

    def __init__(self, name: str, make: Callable[..., Any], *arguments: Any) -> None:
        self.name = name
        # Forked processes would share the memory of this one and break CUDA and thread pools.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        self._process.start()
        theirs.close()  # so that its end is noticed here

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the object and wait for the result.

        Raises:
            BenchmarkError: The process has ended.
        """
        try:
            self._connection.send((method, arguments))
            result, error = self._connection.recv()
        except (EOFError, OSError):
            raise BenchmarkError(f"{self.name}: {self._end()}") from None
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(timeout=5)  # it ends by itself, once no more calls can come
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _end(self) -> str:
        self._process.join(timeout=5)
        code = self._process.exitcode
        if code == -signal.SIGKILL:
            return (
                "its process was killed, most likely because the memory is full; take smaller "
                "images or fewer subjects"
            )
        return f"its process ended by itself (exit code {code})"

    def __enter__(self) -> Remote:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _serve(connection: Connection, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Make the object and answer calls until the other side has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who then goes
    made, failed = None, None
    try:
        made = make(*arguments)
    except Exception as error:
        failed = error
    while True:
        try:
            method, values = connection.recv()
        except EOFError:
            return
        result = None
        if made is not None:
            try:
                result, failed = getattr(made, method)(*values), None
            except Exception as error:
                failed = error
        connection.send((result, failed))
