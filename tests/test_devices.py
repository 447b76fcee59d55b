"""Devices that are there, those that are not, and what `auto` means."""

import pytest
import torch

from eseg.devices import autocast_dtype, available_devices, choose_device
from eseg.errors import DeviceError

CPU = torch.device("cpu")


@pytest.fixture
def no_accelerator(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(no_accelerator, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize("name", [None, "auto", "cpu"])
def test_without_accelerator_it_is_the_cpu(no_accelerator, name):
    assert choose_device(name) == CPU
    assert available_devices() == ["cpu"]


def test_the_fastest_device_is_taken(two_gpus, monkeypatch):
    assert choose_device() == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("cpu") == CPU
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert available_devices() == ["cuda", "mps", "cpu"]


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "abacus", "cuda:x", ""])
def test_a_device_that_is_not_there_is_refused(no_accelerator, name):
    with pytest.raises(DeviceError, match=rf"{name}.* cpu$"):
        choose_device(name)


def test_a_gpu_too_many_is_refused(two_gpus):
    with pytest.raises(DeviceError, match=r"no cuda:2; it has cuda, cpu"):
        choose_device("cuda:2")


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("auto", None), ("fp32", None), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_precision_on_the_cpu(precision, dtype):
    assert autocast_dtype(precision, CPU) is dtype


@pytest.mark.parametrize("has_bf16", [True, False])
def test_auto_is_bf16_where_a_gpu_computes_in_it(monkeypatch, has_bf16):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    expected = torch.bfloat16 if has_bf16 else None
    assert autocast_dtype("auto", torch.device("cuda")) is expected
    assert autocast_dtype("fp32", torch.device("cuda")) is None
