"""Networks in torch as engines: a checkpoint as is or compiled, at one scale or several."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from eseg.checkpoint import Checkpoint, load_checkpoint
from eseg.data.transforms import to_float
from eseg.devices import autocast_dtype, choose_device
from eseg.engines.upsampling_torch import mean_probs, upsample_labels
from eseg.errors import EngineError
from eseg.models import ESeg
from eseg.runtime import upsampling
from eseg.runtime.engine import Engine, EngineOptions, Labels
from eseg.runtime.network_info import NetworkInfo

PRECISIONS = {None: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
"""Names of the types that autocast computes in."""


class TorchDevice:
    """Waiting for, and the memory of, the device of an engine in torch."""

    device: torch.device

    @property
    def runs_ahead(self) -> bool:
        """True on all devices but CPUs."""
        return self.device.type != "cpu"

    def prepare(self) -> None:
        """Compile now what a CPU would otherwise compile with the first image."""
        if self.device.type == "cpu":
            upsampling.prepare()

    def wait(self) -> None:
        """Return once the device has done all it was told."""
        if self.runs_ahead:
            torch.accelerator.synchronize(self.device)

    def device_bytes(self) -> int | None:
        """Return the most memory that torch has used on a CUDA device, None elsewhere."""
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None


class TorchEngine(TorchDevice, Engine):
    """A network in torch; several scales and mirror images are averaged (section 4.4).

    Args:
        model: The network in evaluation mode, on `device`.
        info: Its description.
        device: Where to compute.
        dtype: Type for autocast, or None for fp32.
        scales: Factors of the images' size to run at, relative to `info.resize`.
        flip: If True, run the mirror images too.
        memory_format: Layout of the images; another one rounds differently.
    """

    name = "torch"
    takes_batches: ClassVar[bool] = True

    def __init__(
        self,
        model: ESeg,
        info: NetworkInfo,
        *,
        device: torch.device,
        dtype: torch.dtype | None = None,
        scales: tuple[float, ...] = (1.0,),
        flip: bool = False,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self.source = "the checkpoint"
        self.model, self.info, self.device = model, info, device
        self.precision = PRECISIONS[dtype]
        self._dtype, self._scales, self._flip = dtype, scales, flip
        self._memory_format = memory_format

    @torch.inference_mode()
    def preprocess(self, images: np.ndarray) -> Float[Tensor, "batch 3 height width"]:
        """Bring images to size, to the device and to [0, 1]; see `Engine.preprocess`."""
        images = np.require(super().preprocess(images), requirements=["C", "W"])  # as torch wants
        pixels = torch.from_numpy(images).to(self.device)
        return to_float(pixels.permute(0, 3, 1, 2)).contiguous(memory_format=self._memory_format)

    @torch.inference_mode()
    def network(self, x: Tensor) -> list[Float[Tensor, "batch classes rows columns"]]:
        """Return one map of logits per scale and orientation, all of them the right way round."""
        height, width = x.shape[-2:]
        maps = []
        with torch.autocast(self.device.type, dtype=self._dtype, enabled=self._dtype is not None):
            for scale in self._scales:
                scaled = _resized(x, max(1, round(height * scale)), max(1, round(width * scale)))
                maps.append(self.model.logits(scaled))
                if self._flip:
                    maps.append(self.model.logits(scaled.flip(-1)).flip(-1))
        return maps

    @torch.inference_mode()
    def labels(
        self, output: list[Tensor], size: tuple[int, int], *, with_confidence: bool = False
    ) -> Labels:
        """Make labels of the logits, or of the probabilities averaged over several maps."""
        if len(output) == 1:
            return as_labels(*upsample_labels(output[0], size, with_confidence=with_confidence))
        batch, device = len(output[0]), self.device
        ids = torch.empty(batch, *size, dtype=torch.uint8, device=device)
        confidence = torch.empty(batch, *size, device=device) if with_confidence else None
        for rows, probs in mean_probs(output, size):
            best, winners = probs.max(dim=1)
            ids[:, rows] = winners.byte()
            if confidence is not None:
                confidence[:, rows] = best
        return as_labels(ids, confidence)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return the logits of the first scale; see `Engine.logits`."""
        return self.network(self.preprocess(images))[0].float().cpu().numpy()


class CompiledEngine(TorchEngine):
    """A network that torch compiles, with CUDA graphs on GPUs.

    It does so anew, for a minute or more, at every new size or batch; after the eighth it gives up
    with a warning, and further sizes run as they would without.
    """

    name = "compile"

    def __init__(
        self, model: ESeg, info: NetworkInfo, *, device: torch.device, options: EngineOptions
    ) -> None:
        super().__init__(
            model,
            info,
            device=device,
            dtype=autocast_dtype(options.precision, device),
            scales=options.scales,
            flip=options.flip,
            memory_format=torch.channels_last,
        )
        # CUDA graphs write their results where the last ones were, and an average needs both.
        replays = device.type == "cuda" and not options.averages
        # `Module.compile` would leave `logits` alone, and full-size logits are not wanted.
        # Graphs for all sizes would soon be as many: they, too, are tied to ranges of sizes.
        mode = "reduce-overhead" if replays else "default"
        model.logits = torch.compile(model.logits, mode=mode, dynamic=False)

    def network(self, x: Tensor) -> list[Tensor]:
        """Run the network; raise `EngineError` if it cannot be compiled here."""
        from torch._dynamo.exc import BackendCompilerFailed  # a second that only this engine needs

        try:
            return super().network(x)
        except BackendCompilerFailed as error:
            reason = str(error.inner_exception).partition("\n")[0]
            raise EngineError(
                f"the network cannot be compiled here ({reason}): install a C++ compiler (g++ or "
                "clang), or take the engine torch"
            ) from error


def open_network(
    source: str | Path | Checkpoint, name: str, options: EngineOptions, *, folded: bool = True
) -> TorchEngine:
    """Load a checkpoint.

    Args:
        source: The file, or a checkpoint that is loaded already.
        name: `torch` or `compile`.
        options: Device, precision, threads, scales and mirror images.
        folded: If True, the network is folded for inference, and computes with channels last. If
            False, it is the network exactly as it was trained, as training evaluates it.

    Raises:
        CheckpointError: The file is not a checkpoint, or its network does not take RGB.
        DeviceError: The device does not exist.
    """
    device = choose_device(options.device)
    checkpoint = source if isinstance(source, Checkpoint) else load_checkpoint(source)
    checkpoint.require_rgb()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    model, info = checkpoint.build_model(), checkpoint.describe()
    if folded:
        model = model.fold().to(memory_format=torch.channels_last)
    model = model.to(device)
    if name == "compile":
        return CompiledEngine(model, info, device=device, options=options)
    return TorchEngine(
        model,
        info,
        device=device,
        dtype=autocast_dtype(options.precision, device),
        scales=options.scales,
        flip=options.flip,
        memory_format=torch.channels_last if folded else torch.contiguous_format,
    )


def as_labels(
    ids: UInt8[Tensor, "batch height width"], confidence: Float[Tensor, "batch height width"] | None
) -> Labels:
    """Bring labels to NumPy."""
    return Labels(ids.cpu().numpy(), None if confidence is None else confidence.cpu().numpy())


def _resized(image: Tensor, height: int, width: int) -> Tensor:
    if tuple(image.shape[-2:]) == (height, width):
        return image
    # Antialiasing takes effect where an image shrinks, as in the training's resize.
    shrinks = height < image.shape[-2] or width < image.shape[-1]
    return F.interpolate(
        image, size=(height, width), mode="bilinear", align_corners=False, antialias=shrinks
    )
