"""Rate of matrix products on this machine, to measure networks against."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from eseg.deploy.benchmark.timing import seconds_of

SIDES = (512, 1024, 2048, 4096)

_LONGEST_SECONDS = 0.2
"""Products that would take longer are not tried: smaller ones are large enough then."""


class MatrixProducts:
    """Products of square fp32 matrices on the CPU, by the fastest library and side."""

    def __init__(self, threads: int, sides: tuple[int, ...] = SIDES) -> None:
        torch.set_num_threads(threads)
        libraries = {"BLAS": _blas_product}
        if torch.backends.mkldnn.is_available():
            libraries["oneDNN"] = _onednn_product
        tried: list[tuple[float, str, int, Callable[[], object]]] = []
        for library, prepare in libraries.items():
            for side in sides:
                multiply = prepare(side)
                multiply()  # warms up
                seconds = min(seconds_of(multiply) for _ in range(3))
                tried.append((_rate(side, seconds), library, side, multiply))
                if 8 * seconds > _LONGEST_SECONDS:
                    break
        _, self._library, self._side, self._multiply = max(tried, key=lambda one: one[0])

    def about(self) -> dict[str, str | int]:
        """Return the library and the side of the matrices that were fastest."""
        return {"library": self._library, "side": self._side}

    def turn(self, _: int) -> float:
        """Return the rate of one product in GFLOP/s; another goes ahead untimed."""
        self._multiply()
        return _rate(self._side, seconds_of(self._multiply))


def _blas_product(side: int) -> Callable[[], object]:
    left, right, out = (torch.rand(side, side) for _ in range(3))
    return lambda: torch.mm(left, right, out=out)


def _onednn_product(side: int) -> Callable[[], object]:
    """Multiply by the library of torch's convolutions, often far faster than that of `torch.mm`."""
    left, right = (torch.rand(side, side).to_mkldnn() for _ in range(2))

    @torch.inference_mode()
    def multiply() -> object:
        return F.linear(left, right)

    return multiply


def _rate(side: int, seconds: float) -> float:
    return 2 * side**3 / seconds / 1e9
