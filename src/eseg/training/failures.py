"""Clear errors for failures from outside a run, instead of a traceback per process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist

from eseg.errors import LostProcessError, TrainingError

_RESUME = "The same command (eseg train: with `resume`) goes on from the last checkpoint"


@contextmanager
def clear_failures() -> Iterator[None]:
    """Convert torch's errors about lost processes.

    Raises:
        LostProcessError: A process of the run died or cannot be reached.
        TrainingError: A worker process of the data loader died.
    """
    try:
        yield
    except RuntimeError as error:
        explanation = _explain(error)
        if explanation is None:
            raise
        raise explanation from error


def _explain(error: RuntimeError) -> TrainingError | None:
    """Convert an error about a lost process; return None for all others."""
    reason = (str(error).splitlines() or [""])[0]
    # Only the message tells these from other RuntimeErrors; NCCL has a class of its own.
    is_lost = dist.is_available() and isinstance(error, dist.DistError)
    if is_lost or (type(error) is RuntimeError and "/gloo/" in reason):
        reason = reason.rpartition("] ")[2].partition(". ")[0]
        return LostProcessError(
            f"another process of this run has ended or cannot be reached any more ({reason}). "
            f"Its own message or torchrun's summary tells which one, and why. {_RESUME}"
        )
    if "DataLoader worker" in reason:
        return TrainingError(
            f"a process that reads data has died ({reason.partition('. ')[0]}), often for lack of "
            f"memory; lower loader.workers or loader.prefetch. {_RESUME}"
        )
    return None
