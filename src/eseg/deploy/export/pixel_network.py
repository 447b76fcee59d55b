"""Network in the form that is exported: from uint8 pixels to scores or labels."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch._dynamo.exc import UserError
from torch.export import ExportedProgram
from torch.nn.modules.module import register_module_forward_pre_hook

from eseg.choices import Outputs
from eseg.errors import ExportError
from eseg.models import ESeg
from eseg.models.fold import PROBE_SIZE
from eseg.models.graph import export_graph

Layout = Literal["planes", "pixels"]


class PixelNetwork(nn.Module):
    """A network folded for inference that takes 8-bit images as cameras and decoders give them.

    The image is normalised inside. Wherever a convolution reads the normalised image and nothing
    else does, the factor of the normalisation becomes part of its weights; the offset cannot, for
    the zeros of the convolution's padding are added behind it.

    Args:
        network: A trained network for RGB images; it stays as it is.
        outputs: `logits` for the scores at the head's stride, `labels` for the most probable class
            of every pixel.
        half: Compute everything between normalisation and logits in float16.
        normalise: Layout in which the image is normalised: three `planes`, or a map of `pixels`.
            Engines that keep maps channels last save a pass over the image with the second.
    """

    factor: Tensor | None
    offset: Tensor

    def __init__(
        self,
        network: ESeg,
        *,
        outputs: Outputs = "logits",
        half: bool = False,
        normalise: Layout = "planes",
    ) -> None:
        super().__init__()
        folded = network.fold()
        # In float64, as folding: one rounding at the end.
        factor = folded.normalize.factor.double() / 255
        offset = folded.normalize.offset.double()
        folded.set_submodule("normalize", nn.Identity())
        # Weights a hundred times smaller would lose digits in float16.
        absorbed = not half and _scale_input(folded, factor)
        if absorbed:
            factor, offset = None, offset / factor
        self.outputs: Outputs = outputs
        self.normalise: Layout = normalise
        self.half_inside = half
        self.register_buffer("factor", None if factor is None else self._shaped(factor))
        self.register_buffer("offset", self._shaped(offset))
        self.network = folded.half() if half else folded
        self.eval().requires_grad_(False)

    def forward(
        self, pixels: UInt8[Tensor, "batch height width 3"]
    ) -> Float[Tensor, "batch classes rows columns"] | UInt8[Tensor, "batch height width"]:
        """Return logits or labels of one RGB image of any size from 1x1, channels last."""
        image = pixels.float()  # at once: TensorRT knows 8-bit inputs, but no arithmetic on them
        if self.normalise == "pixels":
            image = _planes(self._normalised(image))
        else:
            image = self._normalised(_planes(image))
        if self.half_inside:
            image = image.half()
        logits = self.network.logits(image).float()
        if self.outputs == "logits":
            return logits
        full = F.interpolate(logits, pixels.shape[1:3], mode="bilinear", align_corners=False)
        return full.argmax(dim=1).byte()

    def _normalised(self, image: Tensor) -> Tensor:
        if self.factor is not None:
            image = image * self._along_rows(self.factor, image)
        return image + self._along_rows(self.offset, image)

    def _along_rows(self, constant: Tensor, image: Tensor) -> Tensor:
        """Repeat a constant along a row of the image, if that is a map of pixels.

        Engines add three values to each pixel three numbers at a time, but a whole row at the width
        of the processor's registers.
        """
        return constant.repeat(1, 1, image.shape[2], 1) if self.normalise == "pixels" else constant

    def _shaped(self, constant: Tensor) -> Tensor:
        """Shape a constant per channel to be broadcast over an image."""
        return constant.float().view((1, 1, 1, -1) if self.normalise == "pixels" else (1, -1, 1, 1))


def trace(network: PixelNetwork, size: tuple[int, int] | None) -> ExportedProgram:
    """Trace a network to one graph for images of one (height, width), or of every size if None.

    Raises `ExportError` if a part of the network decides by the size of the image what to compute.
    """
    try:
        return export_graph(network, from_pixels=True, size=size)
    except UserError as error:
        reason = str(error).splitlines()[0]
        if size is not None:
            raise ExportError(f"this network has no graph: {reason}") from error
        raise ExportError(
            f"this network has no graph that serves every size ({reason}); name the one `size` "
            "that the file takes"
        ) from error


def _planes(image: Tensor) -> Tensor:
    """Move channels first; the copy fixes the order in memory, which tracing would ask about."""
    return image.permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format)


@torch.no_grad()
def _scale_input(network: ESeg, factor: Tensor) -> bool:
    """Change a network to expect images divided by `factor`, (1, channels, 1, 1).

    Returns False, and leaves it as it is, unless one convolution alone reads the image.
    """
    readers: list[nn.Conv2d] = []

    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, nn.Conv2d) and inputs[0] is image:
            readers.append(module)

    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, factor.shape[1], PROBE_SIZE, PROBE_SIZE, generator=generator)
    with register_module_forward_pre_hook(note):
        before = network.logits(image)
    if len(readers) != 1:
        return False

    kept = readers[0].weight.clone()
    readers[0].weight.copy_(kept.double() * factor)
    after = network.logits(image / factor.to(image.dtype))
    if torch.allclose(before, after, rtol=0, atol=1e-4 * float(before.abs().max())):
        return True
    readers[0].weight.copy_(kept)  # something else reads the image as well
    return False
