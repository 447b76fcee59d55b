"""What ends a run from outside, told as one clear error instead of a traceback per process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist

from eseg.errors import LostProcessError, TrainingError

_GO_ON = "The same command (eseg train: with --resume) goes on from the last checkpoint"


@contextmanager
def clear_failures() -> Iterator[None]:
    """Let a run fail with a `TrainingError` when another process is lost.

    Raises:
        LostProcessError: A process of the run died or cannot be reached.
        TrainingError: A process that reads its data died.
    """
    try:
        yield
    except RuntimeError as error:
        explanation = _explain(error)
        if explanation is None:
            raise
        raise explanation from error


def _explain(error: RuntimeError) -> TrainingError | None:
    """What to say about an error that is not the program's own, None for all others."""
    reason = (str(error).splitlines() or [""])[0]
    # Only the words tell these from other RuntimeErrors; the GPU's backend has a class of its own.
    is_lost = dist.is_available() and isinstance(error, dist.DistError)
    if is_lost or (type(error) is RuntimeError and "/gloo/" in reason):
        reason = reason.rpartition("] ")[2].partition(". ")[0]
        return LostProcessError(
            f"another process of this run has ended or cannot be reached any more ({reason}). "
            f"Which one, and why, stands in its own message or in torchrun's summary. {_GO_ON}"
        )
    if "DataLoader worker" in reason:
        return TrainingError(
            f"a process that reads data has died ({reason.partition('. ')[0]}); often memory ran "
            f"out: lower loader.workers or loader.prefetch. {_GO_ON}"
        )
    return None
