"""Bilinear upsampling strip by strip, there and back, so that a full-size tensor never exists."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float32
from torch import Tensor


class BilinearStrips:
    """Brings maps to another size, a strip of rows at a time, and gradients back.

    Some images at a time are widened, which makes a small tensor still; then strips are blended
    from their rows. For that the channels stand behind the rows: a row is one piece of memory.
    Together it equals `interpolate(maps, size, mode="bilinear")` (corners not aligned) up to the
    order of rounding, at any ratio, downwards too.

    Attributes:
        images: Which images are widened together, slice by slice.
        rows: Which rows of the wanted size make up each strip.

    Args:
        shape: Of the maps: (batch, in_height, channels, in_width).
        size: Wanted (height, width) in pixels.
        elements: How many numbers a strip may hold, though it has one row of one image at least.
        device: Where the maps are.
    """

    def __init__(
        self,
        shape: torch.Size,
        size: tuple[int, int],
        elements: int,
        device: torch.device,
    ) -> None:
        batch, in_height, channels, _ = shape
        height, self._width = size
        row = channels * self._width
        together = min(batch, max(1, elements // (height * row)))
        step = min(height, max(1, elements // (together * row)))
        self.images = [slice(i, min(i + together, batch)) for i in range(0, batch, together)]
        self.rows = [slice(i, min(i + step, height)) for i in range(0, height, step)]

        # Where each output row lies between two input rows; the same formula in the same precision
        # as torch's own interpolation, which measures from pixel centres and repeats the border.
        # Worked out on the host, which slices by it and shall not wait for the device.
        centres = torch.arange(height, dtype=torch.float32) + 0.5
        position = (centres * (in_height / height) - 0.5).clamp(0, in_height - 1)
        above = position.long()
        below = (above + 1).clamp(max=in_height - 1)
        share = position - above
        weights = torch.zeros(in_height, height)
        weights.scatter_add_(0, above[None], 1 - share[None])
        weights.scatter_add_(0, below[None], share[None])
        self._sources = {
            rows.start: slice(int(above[rows.start]), int(below[rows.stop - 1]) + 1)
            for rows in self.rows
        }
        self._above = above.to(device, non_blocking=True)
        self._below = below.to(device, non_blocking=True)
        self._share = share[:, None, None].to(device, non_blocking=True)
        self._weights = weights.to(device, non_blocking=True)
        # Every strip is written over the one before, in memory that stays in a processor's cache.
        self._upper, self._lower = torch.empty(2, together * step * row, device=device)

    def widen(
        self, maps: Float32[Tensor, "images in_height channels in_width"]
    ) -> Float32[Tensor, "images in_height channels width"]:
        """Interpolate along the rows; differentiable."""
        wide = F.interpolate(maps.flatten(0, 1), self._width, mode="linear", align_corners=False)
        return wide.unflatten(0, maps.shape[:2])

    def blend(
        self, wide: Float32[Tensor, "images in_height channels width"], rows: slice
    ) -> Float32[Tensor, "images rows channels width"]:
        """Interpolate between the rows of widened maps, for one strip.

        The strip may be changed in place; the next call writes over it.
        """
        shape = (len(wide), rows.stop - rows.start, *wide.shape[2:])
        upper = self._upper[: math.prod(shape)].view(shape)
        lower = self._lower[: math.prod(shape)].view(shape)
        torch.index_select(wide, 1, self._above[rows], out=upper)
        torch.index_select(wide, 1, self._below[rows], out=lower)
        return upper.lerp_(lower, self._share[rows])

    def blend_backward(
        self,
        strip: Float32[Tensor, "images rows channels width"],
        rows: slice,
        wide: Float32[Tensor, "images in_height channels width"],
    ) -> None:
        """Add what the gradient of a strip means for the gradient of the widened maps.

        The product follows torch's setting for the precision of float32 products, as those in the
        network's own backward pass do.
        """
        source = self._sources[rows.start]
        weights = self._weights[source, rows].expand(len(strip), -1, -1)
        wide.flatten(2)[:, source].baddbmm_(weights, strip.flatten(2))
