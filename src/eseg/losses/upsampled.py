"""The loss straight from a network's small logits, without ever holding full-size ones.

At 150 classes, 520x520 pixels and a batch of 16 the upsampled logits are 2.6 GB, and plain autograd
holds them several times over. Here they exist strip by strip: once on the way forward, where each
pixel's loss and normaliser are kept, and once more on the way back.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float, Float32, Int64, Integer
from torch import Tensor
from torch.autograd.function import once_differentiable

from eseg.losses.ohem import pixel_weights, total_weight, weighted_mean
from eseg.losses.strips import BilinearStrips
from eseg.runtime.class_table import IGNORE_INDEX

_CPU_STRIP_ELEMENTS = 1 << 19
"""Upsampled logits held at once on a CPU: 2 MB, so that two of them stay in its cache."""

_STRIP_ELEMENTS = 1 << 24
"""The same elsewhere, where launching a kernel must take less time than running it: 64 MB."""


def upsampled_ohem_cross_entropy(
    logits: Float[Tensor, "batch classes rows columns"],
    mask: Integer[Tensor, "batch height width"],
    *,
    threshold: float = 0.7,
    min_kept: float = 1 / 16,
    weight: Float[Tensor, " classes"] | None = None,
    ignore_index: int = IGNORE_INDEX,
) -> Float32[Tensor, ""]:
    """`ohem_cross_entropy` of the logits, bilinearly upsampled to the size of the mask.

    Value and gradient equal those of the plain form, `ohem_cross_entropy(interpolate(...), ...)`,
    to float precision; memory is that of a few numbers per pixel, whatever the number of classes.
    Logits of lower precision are upsampled in float32. On CPUs the result is the same, bit by bit,
    every time. Differentiable once.

    Args:
        logits: Unnormalised scores at any resolution.
        mask: Class ids in [0, classes), or `ignore_index` for pixels without a label.
        threshold: Probability in (0, 1].
        min_kept: Share in (0, 1] of the valid pixels, counted over the local batch (one process).
        weight: A factor per class on the loss of its pixels; the mean is then the weighted one.
        ignore_index: The id of pixels that have no label.

    Returns:
        Mean loss in nats; zero, still attached to the graph, if every pixel is ignored.
    """
    return _UpsampledOhem.apply(logits, mask, threshold, min_kept, weight, ignore_index)


class _UpsampledOhem(torch.autograd.Function):
    """Value and gradient of `upsampled_ohem_cross_entropy`.

    Powers and logarithms are to base 2, which torch computes on CPUs several times as fast as those
    to base e; the loss of a pixel is turned into nats at the end. Autocast changes none of this.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits: Float[Tensor, "batch classes rows columns"],
        mask: Integer[Tensor, "batch height width"],
        threshold: float,
        min_kept: float,
        weight: Float[Tensor, " classes"] | None,
        ignore_index: int,
    ) -> Float32[Tensor, ""]:
        """Find every pixel's loss, strip by strip; then which pixels count."""
        maps, strips = _in_strips(logits, mask)
        target = mask.long()
        valid = target != ignore_index
        # Any class will do where there is none, as nothing there counts.
        target = target.where(valid, 0)
        loss = torch.empty(mask.shape, device=logits.device)
        normalizer = torch.empty_like(loss)
        for images in strips.images:
            wide = strips.widen(maps[images])
            for rows in strips.rows:
                scores = strips.blend(wide, rows)
                highest = scores.amax(2, keepdim=True)
                scores -= highest
                true = scores.gather(2, target[images, rows].unsqueeze(2))
                log_sum = scores.exp2_().sum(2, keepdim=True).log2_()
                torch.sub(log_sum, true, out=loss[images, rows].unsqueeze(2))
                torch.add(log_sum, highest, out=normalizer[images, rows].unsqueeze(2))
        loss = (loss * math.log(2)).where(valid, 0)
        counted = pixel_weights(loss, target, valid, threshold, min_kept, weight)
        ctx.save_for_backward(logits, target, normalizer, counted)
        return weighted_mean(loss, counted)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Give the gradient by the logits; the other inputs have none."""
        return _gradient(*grad_outputs, *ctx.saved_tensors), None, None, None, None, None


@once_differentiable
def _gradient(
    grad: Float32[Tensor, ""],
    logits: Float[Tensor, "batch classes rows columns"],
    target: Int64[Tensor, "batch height width"],
    normalizer: Float32[Tensor, "batch height width"],
    counted: Float32[Tensor, "batch height width"],
) -> Float[Tensor, "batch classes rows columns"]:
    """The gradient by the logits: each strip made anew, turned into weight x (p - truth)."""
    maps, strips = _in_strips(logits, target)
    # The weight becomes a part of the exponent: 2^(score - normalizer) x weight.
    normalizer = normalizer - counted.log2()
    gradient = torch.empty_like(logits, dtype=torch.float32)
    for images in strips.images:
        part = maps[images].requires_grad_()
        with torch.enable_grad():
            wide = strips.widen(part)
        wide_values, wide_gradient = wide.detach(), torch.zeros_like(wide)
        for rows in strips.rows:
            strip = strips.blend(wide_values, rows)
            strip -= normalizer[images, rows].unsqueeze(2)
            strip.exp2_()
            true = target[images, rows].unsqueeze(2)
            strip.scatter_add_(2, true, -counted[images, rows].unsqueeze(2))
            strips.blend_backward(strip, rows, wide_gradient)
        (part_gradient,) = torch.autograd.grad(wide, part, wide_gradient)
        gradient[images] = part_gradient.transpose(1, 2)
    gradient *= grad / total_weight(counted)
    return gradient.to(logits.dtype)


def _in_strips(
    logits: Float[Tensor, "batch classes rows columns"],
    mask: Integer[Tensor, "batch height width"],
) -> tuple[Float32[Tensor, "batch rows classes columns"], BilinearStrips]:
    """Logits to base 2, and what brings them to the size of the mask."""
    maps = logits.detach().float().transpose(1, 2).contiguous() * math.log2(math.e)
    elements = _CPU_STRIP_ELEMENTS if logits.device.type == "cpu" else _STRIP_ELEMENTS
    _, height, width = mask.shape
    return maps, BilinearStrips(maps.shape, (height, width), elements, logits.device)
