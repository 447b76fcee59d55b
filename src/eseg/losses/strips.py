"""Bilinear upsampling and its gradient, strip by strip, so that no full-size tensor exists."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from eseg.runtime.tiling import half_pixel_positions

_CPU_STRIP_ELEMENTS = 1 << 19
"""Upsampled numbers held at once on a CPU: 2 MB, so that two strips stay in its cache."""

_STRIP_ELEMENTS = 1 << 24
"""The same elsewhere, where launching a kernel must take less time than running it: 64 MB."""


class BilinearStrips:
    """Resizes maps bilinearly a strip of rows at a time, and carries gradients back.

    A few images at a time are interpolated along their rows, which keeps the tensor small; each
    strip is then blended from pairs of those rows. Channels come after rows in memory, so that a
    row is contiguous. The result equals `interpolate(maps, size, mode="bilinear")` (corners not
    aligned) up to the order of rounding, at any ratio, downsampling included.

    Attributes:
        images: Slices of images that are widened together.
        rows: Slices of output rows, one per strip.

    Args:
        shape: Shape of the maps: (batch, in_height, channels, in_width).
        size: Wanted (height, width) in pixels.
        elements: Largest number of elements in a strip, except that a strip has at least one row
            of one image.
        device: Device of the maps.
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

        # Computed on the host, which slices by it and must not wait for the device.
        cell, share = map(torch.from_numpy, half_pixel_positions(in_height, height))  # (height,)
        above = cell.long().clamp(min=0)  # (height,)
        below = (cell.long() + 1).clamp(max=in_height - 1)  # (height,)
        weights = torch.zeros(in_height, height)  # (in_height, height)
        weights.scatter_add_(0, above[None], 1 - share[None])
        weights.scatter_add_(0, below[None], share[None])
        self._sources = {
            rows.start: slice(int(above[rows.start]), int(below[rows.stop - 1]) + 1)
            for rows in self.rows
        }
        self._above = above.to(device, non_blocking=True)
        self._below = below.to(device, non_blocking=True)
        self._share = share[:, None, None].to(device, non_blocking=True)  # (height, 1, 1)
        self._weights = weights.to(device, non_blocking=True)
        # Every strip overwrites the one before, in memory that stays in a processor's cache.
        self._upper, self._lower = torch.empty(2, together * step * row, device=device)

    def walk(
        self, maps: Float32[Tensor, "batch in_height channels in_width"]
    ) -> Iterator[tuple[slice, slice, Float32[Tensor, "images rows channels width"]]]:
        """Yield every strip with its slices of images and of rows.

        A strip may be changed in place; the next one overwrites it.
        """
        for images in self.images:
            wide = self.widen(maps[images])  # (images, in_height, channels, width)
            for rows in self.rows:
                yield images, rows, self.blend(wide, rows)

    def gradient(
        self,
        maps: Float32[Tensor, "batch in_height channels in_width"],
        strip_gradient: Callable[[Tensor, slice, slice], Tensor],
    ) -> Float32[Tensor, "batch in_height channels in_width"]:
        """Compute the gradient by the maps from the gradient by every strip.

        Args:
            maps: The maps, for the strips' values.
            strip_gradient: Gradient by a strip, given the strip, its images and its rows; it may
                work in place. It is called once per strip.
        """
        gradient = torch.empty_like(maps)
        for images in self.images:
            part = maps[images].detach().requires_grad_()
            with torch.enable_grad():
                wide = self.widen(part)  # (images, in_height, channels, width)
            values, wide_gradient = wide.detach(), torch.zeros_like(wide)
            for rows in self.rows:
                strip = strip_gradient(self.blend(values, rows), images, rows)
                self.blend_backward(strip, rows, wide_gradient)
            (gradient[images],) = torch.autograd.grad(wide, part, wide_gradient)
        return gradient

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

        The strip may be changed in place; the next call overwrites it.
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
        """Add the gradient by a strip to the gradient by the widened maps, in place.

        The product follows torch's setting for the precision of float32 products, as those in the
        network's own backward pass do.
        """
        source = self._sources[rows.start]
        weights = self._weights[source, rows].expand(len(strip), -1, -1)  # (images, source, rows)
        wide.flatten(2)[:, source].baddbmm_(weights, strip.flatten(2))


def in_strips(
    logits: Float[Tensor, "batch channels rows columns"], size: tuple[int, int] | torch.Size
) -> tuple[Float32[Tensor, "batch rows channels columns"], BilinearStrips]:
    """Return logits in float32 with rows before channels, and the strips of their resized form."""
    maps = logits.detach().float().transpose(1, 2).contiguous()  # (batch, rows, channels, columns)
    elements = _CPU_STRIP_ELEMENTS if logits.device.type == "cpu" else _STRIP_ELEMENTS
    height, width = size
    return maps, BilinearStrips(maps.shape, (height, width), elements, logits.device)
