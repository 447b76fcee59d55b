"""Which errors are another process's fault, and that all others are left alone."""

import pytest
import torch.distributed as dist

from eseg.errors import CheckpointError, LostProcessError, TrainingError
from eseg.training.failures import clear_failures

CLOSED = (
    "[/__w/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by peer "
    "[127.0.0.1]:5019. This is typically caused by a remote worker crashing."
)
KILLED = "DataLoader worker (pid 99) is killed by signal: Killed. \nIt is possible that ..."


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RuntimeError(CLOSED),
            r"another process .*Connection closed by peer \[127\.0\.0\.1\]:5019",
        ),
        (dist.DistBackendError("NCCL error\nin line 2"), r"another process .*NCCL error\)"),
        (dist.DistNetworkError("no route"), "another process .*no route"),
        (RuntimeError(KILLED), r"reads data .*killed by signal: Killed.*loader\.workers"),
    ],
)
def test_a_lost_process_is_one_clear_error(error, said):
    remedy = "The same command .eseg train: with `resume`. goes on"
    with pytest.raises(TrainingError, match=f"^.*{said}.*{remedy}") as caught, clear_failures():
        raise error
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, LostProcessError) == ("another process" in str(caught.value))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes do not match"),
        RuntimeError(),
        CheckpointError(f"x.pt: cannot be written ({CLOSED})"),
        ValueError(CLOSED),
        KeyboardInterrupt(),
    ],
)
def test_every_other_error_passes_through(error):
    with pytest.raises(type(error)) as caught, clear_failures():
        raise error
    assert caught.value is error
