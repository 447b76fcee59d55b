"""Sums over the pixels of upsampled logits, computed without ever holding full-size logits.

At 150 classes, 520x520 pixels and a batch of 16 the upsampled logits are 2.6 GB, and plain autograd
holds them several times over. Here they exist strip by strip: once in the forward pass and once
more in the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Float32, Integer
from torch import Tensor
from torch.autograd.function import once_differentiable

from eseg.losses.strips import in_strips

Summand: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From float32 scores (images, classes, rows, width) and int64 class ids (images, rows, width) of
some rows of some images to the sums over their pixels, in a tensor of any shape."""


def sum_over_pixels(
    summand: Summand,
    logits: Float[Tensor, "batch classes rows columns"],
    mask: Integer[Tensor, "batch height width"],
) -> Float32[Tensor, "*sums"]:
    """Add up a function of the pixels of bilinearly upsampled logits.

    Every loss that is computed from sums over pixels needs no more memory than its strips: it
    calculates with these sums as with any tensor. Differentiable once.

    Args:
        summand: Differentiable function of a strip; it changes neither argument in place.
        logits: Unnormalised scores at any resolution; upsampled in float32.
        mask: Class ids.

    Returns:
        `summand(interpolate(logits, size of the mask), mask)`, up to rounding.
    """
    return _SumOverPixels.apply(logits, mask.long(), summand)


class _SumOverPixels(torch.autograd.Function):
    """Value and gradient of `sum_over_pixels`."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, summand: Summand) -> Tensor:
        """Add up the summand's values of all strips."""
        ctx.save_for_backward(logits, target)
        ctx.summand = summand
        maps, strips = in_strips(logits, target.shape[1:])
        parts = [
            summand(strip.transpose(1, 2), target[images, rows])
            for images, rows, strip in strips.walk(maps)
        ]
        return torch.stack(parts).sum(0)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Return the gradient by the logits; the other inputs have none."""
        return _gradient(ctx.summand, *ctx.saved_tensors, *grad_outputs), None, None


@once_differentiable
def _gradient(summand: Summand, logits: Tensor, target: Tensor, grad: Tensor) -> Tensor:
    """Compute each strip again, and its gradient by autograd."""
    maps, strips = in_strips(logits, target.shape[1:])

    def strip_gradient(strip: Tensor, images: slice, rows: slice) -> Tensor:
        with torch.enable_grad():
            scores = strip.detach().requires_grad_()  # (images, rows, classes, width)
            sums = summand(scores.transpose(1, 2), target[images, rows])
        return torch.autograd.grad(sums, scores, grad)[0]

    gradient = strips.gradient(maps, strip_gradient).transpose(1, 2)
    return torch.empty_like(logits).copy_(gradient)
