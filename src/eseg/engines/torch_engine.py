"""A checkpoint's network in torch, as it is or compiled: images of one size in, labels out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from eseg.checkpoint import Checkpoint
from eseg.data.transforms import to_float
from eseg.engines.labelling import check_scales, label_images
from eseg.errors import CheckpointError, EngineError


class TorchNetwork:
    """A network folded for inference, its activations in channels-last order.

    Images are brought to the size that its run brought them to (`data.resize`).

    Args:
        checkpoint: The network.
        device: Where to compute.
        dtype: Type for autocast, or None for fp32.
        compiled: Whether torch compiles the network, with CUDA graphs on GPUs. It does so anew, for
            a minute or more, at every new size or batch; after the eighth it gives up with a
            warning, and further sizes run as they would without.
        scales: Factors of the images' size to run at and average over (section 4.4).
        flip: Average with the mirror images too.
        with_confidence: Whether the probability of every label is wanted.

    Raises:
        CheckpointError: The network does not take RGB.
        ValueError: A scale is not above 0.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: torch.device,
        dtype: torch.dtype | None,
        compiled: bool,
        scales: Sequence[float],
        flip: bool,
        with_confidence: bool,
    ) -> None:
        check_scales(scales)
        if checkpoint.model.in_channels != 3:
            raise CheckpointError(
                f"the network takes images of {checkpoint.model.in_channels} channels; pictures "
                "have 3, so train it with model.in_channels=3 or call its `logits` with tensors"
            )
        self._device, self._dtype, self._compiled = device, dtype, compiled
        self._scales, self._flip, self._with_confidence = tuple(scales), flip, with_confidence
        self._resize = checkpoint.resize
        model = checkpoint.build_model().fold().to(device)
        self._model = model.to(memory_format=torch.channels_last)
        if compiled:
            # CUDA graphs write their results where the last ones were, and an average needs both.
            replays = device.type == "cuda" and self._scales == (1.0,) and not flip
            mode = "reduce-overhead" if replays else "default"
            # `Module.compile` would leave `logits` alone, and full-size logits are not wanted.
            # Graphs for all sizes would soon be as many: they, too, are tied to ranges of sizes.
            self._model.logits = torch.compile(self._model.logits, mode=mode, dynamic=False)

    def __call__(
        self, images: UInt8[np.ndarray, "batch height width 3"]
    ) -> tuple[
        UInt8[np.ndarray, "batch height width"], Float32[np.ndarray, "batch height width"] | None
    ]:
        """Class ids of RGB images, and their probabilities in (0, 1] if those are wanted.

        Raises:
            EngineError: The network cannot be compiled here.
        """
        if not self._compiled:
            return self._label(images)
        from torch._dynamo.exc import BackendCompilerFailed  # a second that only this engine needs

        try:
            return self._label(images)
        except BackendCompilerFailed as error:
            reason = str(error.inner_exception).partition("\n")[0]
            raise EngineError(
                f"the network cannot be compiled here ({reason}): install a C++ compiler (g++ or "
                "clang), or take the engine torch"
            ) from error

    @torch.inference_mode()
    def _label(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        # As (batch, 3, height, width) these bytes lie in channels-last order already.
        image = to_float(torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2))
        labels, confidence = label_images(
            self._model,
            image,
            dtype=self._dtype,
            scales=self._scales,
            flip=self._flip,
            resize=self._resize,
            with_confidence=self._with_confidence,
        )
        return labels.cpu().numpy(), None if confidence is None else confidence.cpu().numpy()
