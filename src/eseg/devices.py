"""Devices and precisions to compute with."""

from __future__ import annotations

import resource
import sys
from typing import get_args

import torch

from eseg.choices import Precision
from eseg.errors import DeviceError


def choose_device(name: str | None = None) -> torch.device:
    """Return the named device; for None or "auto" the fastest: CUDA, then MPS, then CPU.

    Raises:
        DeviceError: The machine does not have the device.
    """
    available = available_devices()
    if name is None or name == "auto":
        return torch.device(available[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"no device {name!r}; this machine has {', '.join(available)}") from None
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if device.type not in available or (device.index or 0) >= count:
        raise DeviceError(f"this machine has no {name}; it has {', '.join(available)}")
    return device


def available_devices() -> list[str]:
    """List the device types of this machine, fastest first."""
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    return [name for name, is_present in present.items() if is_present]


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the type that autocast computes in, or None for plain fp32.

    The `Precision` auto is bf16 on GPUs that have it and fp32 elsewhere.

    Raises:
        DeviceError: There is no such precision.
    """
    if precision not in get_args(Precision):
        raise DeviceError(f"no precision {precision!r}; there are {', '.join(get_args(Precision))}")
    if precision == "auto":
        has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has_bf16 else None
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def dtype_name(dtype: torch.dtype | None) -> str:
    """Return the short name of a type of `autocast_dtype`, such as "bfloat16" or "fp32"."""
    return "fp32" if dtype is None else str(dtype).removeprefix("torch.")


def peak_memory_mib(device: torch.device) -> float:
    """Return the peak memory so far in MiB: allocated on a CUDA device, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
