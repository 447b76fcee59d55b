"""The steps of networks that torch runs: checkpoints, and packages compiled ahead of time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from eseg.checkpoint import load_checkpoint
from eseg.config import to_plain
from eseg.data.transforms import to_float
from eseg.deploy.benchmark.timed_network import About, Stages, Step, Subject
from eseg.devices import autocast_dtype, choose_device, choose_precision
from eseg.engines.aotinductor import PackagedNetwork
from eseg.engines.torch_engine import TorchNetwork
from eseg.engines.upsampling_torch import upsample_labels

_NAMES = {None: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


def open_checkpoint(subject: Subject) -> Stages:
    """Load a checkpoint for the engine `torch` or `compile`.

    Raises:
        CheckpointError, DeviceError: As `eseg.Predictor`.
    """
    torch.set_num_threads(subject.threads)
    checkpoint = load_checkpoint(subject.path)
    device = choose_device(subject.device)
    dtype = autocast_dtype(choose_precision(subject.precision), device)
    network = _CheckpointSteps(
        checkpoint,
        device=device,
        dtype=dtype,
        compiled=subject.engine == "compile",
        scales=(1.0,),
        flip=False,
        with_confidence=False,
    )
    about = About(to_plain(checkpoint.model), None, _NAMES[dtype], "logits")
    return Stages(about, network.steps, *_counters(device))


def open_package(subject: Subject) -> Stages:
    """Load a package of AOTInductor.

    Raises:
        DeviceError, EngineError, ExportFileError: As `eseg.Predictor`.
    """
    torch.set_num_threads(subject.threads)
    precision = None if subject.precision == "auto" else subject.precision
    network = _PackageSteps(
        subject.path, device=subject.device, precision=precision, with_confidence=False
    )
    info = network.info
    about = About(info.model, info.size, info.precision, info.outputs)
    return Stages(about, network.steps, *_counters(choose_device(subject.device)))


class _CheckpointSteps(TorchNetwork):
    """What calling the network does, step by step."""

    def steps(self, size: tuple[int, int]) -> dict[str, Step]:
        """See `Stages.steps`."""
        if self._compiled:
            self(np.zeros((1, *size, 3), np.uint8))  # compiles, or says why it cannot

        @torch.inference_mode()
        def preprocess(image: np.ndarray) -> Tensor:
            return to_float(torch.from_numpy(image[None]).to(self._device).permute(0, 3, 1, 2))

        @torch.inference_mode()
        def network(image: Tensor) -> Tensor:
            with torch.autocast(
                self._device.type, dtype=self._dtype, enabled=self._dtype is not None
            ):
                return self._model.logits(image)

        return {
            "preprocess": preprocess,
            "network": network,
            "labels": lambda logits: upsample_labels(logits, size)[0].cpu().numpy(),
        }


class _PackageSteps(PackagedNetwork):
    """What calling the package does, step by step."""

    def steps(self, size: tuple[int, int]) -> dict[str, Step]:
        """See `Stages.steps`."""

        @torch.inference_mode()
        def network(image: np.ndarray) -> Tensor:
            return self._network(torch.from_numpy(image[None]).to(self._device))

        if self.info.outputs == "labels":
            return {"network": lambda image: network(image)[0].cpu().numpy()}
        return {
            "network": network,
            "labels": lambda logits: upsample_labels(logits, size)[0].cpu().numpy(),
        }


def _counters(
    device: torch.device,
) -> tuple[Callable[[], None] | None, Callable[[], int] | None]:
    """`Stages.wait` and `Stages.cuda_bytes` on a device, which need not be the current one."""
    wait = None if device.type == "cpu" else partial(torch.accelerator.synchronize, device)
    on_cuda = device.type == "cuda"
    return wait, partial(torch.cuda.max_memory_allocated, device) if on_cuda else None
