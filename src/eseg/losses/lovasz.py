"""Lovász-Softmax loss: a convex surrogate of 1 - IoU, class by class (Berman et al., 2018)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Integer
from torch import Tensor
from torch.autograd.function import once_differentiable

from eseg.losses.strips import in_strips
from eseg.runtime.class_table import IGNORE_INDEX


def lovasz(
    logits: Float[Tensor, "batch classes rows columns"],
    mask: Integer[Tensor, "batch height width"],
    *,
    ignore_index: int = IGNORE_INDEX,
) -> Float32[Tensor, ""]:
    """Average the Lovász extension of 1 - IoU over the classes in the mask.

    All pixels of the local batch are sorted once for each class in the mask, one class at a time:
    memory is some tens of bytes per pixel, for any number of classes. The gradient is computed
    together with the value. Differentiable once.

    Args:
        logits: Unnormalised scores at any resolution; upsampled bilinearly to that of the mask.
        mask: Class ids in [0, classes), or `ignore_index` for pixels without a label.
        ignore_index: The id of pixels that have no label.

    Returns:
        Loss in [0, 1]; zero, still attached to the graph, if every pixel is ignored.

    Raises:
        IndexError: The mask holds an id that is not a class.
    """
    return _Lovasz.apply(logits, mask.long(), ignore_index)


class _Lovasz(torch.autograd.Function):
    """Value and gradient of `lovasz`.

    With g the gradient by a pixel's probabilities p, that by its scores is p x g - p x sum(p x g).
    The first product is made class by class, the second strip by strip when the sum is known.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, ignore_index: int) -> Tensor:
        """Add up value and gradient over the classes that occur."""
        size = target.shape[1:]
        valid = target != ignore_index  # (batch, height, width)
        present = target[valid].unique().tolist()
        if present and not 0 <= present[0] <= present[-1] < logits.shape[1]:
            raise IndexError(
                f"the mask holds class ids from {present[0]} to {present[-1]}; the logits have "
                f"{logits.shape[1]} classes"
            )
        maps, strips = in_strips(logits, size)
        normalizer = torch.empty(target.shape, device=logits.device)  # (batch, height, width)
        for images, rows, scores in strips.walk(maps):
            normalizer[images, rows] = scores.logsumexp(2)

        value = torch.zeros((), device=logits.device)
        gradient = torch.zeros_like(logits, dtype=torch.float32)
        expected = torch.zeros_like(normalizer)  # (batch, height, width): sum(p x g)
        for index in present:
            small = logits[:, index : index + 1].detach().float().requires_grad_()
            with torch.enable_grad():
                scores = F.interpolate(small, size, mode="bilinear", align_corners=False)
            probs = (scores.detach().squeeze(1) - normalizer).exp()  # (batch, height, width)
            loss, slopes = _one_class(probs, target == index, valid)
            value += loss
            slopes *= probs
            expected += slopes
            (part,) = torch.autograd.grad(scores, small, slopes.unsqueeze(1))
            gradient[:, index : index + 1] = part

        def strip_gradient(strip: Tensor, images: slice, rows: slice) -> Tensor:
            strip -= normalizer[images, rows].unsqueeze(2)  # (images, rows, classes, width)
            return strip.exp_().mul_(expected[images, rows].unsqueeze(2))

        gradient -= strips.gradient(maps, strip_gradient).transpose(1, 2)
        count = max(1, len(present))
        ctx.save_for_backward(logits, gradient.div_(count))
        return value / count

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Return the gradient by the logits; the other inputs have none."""
        return _scaled(*grad_outputs, *ctx.saved_tensors), None, None


@once_differentiable
def _scaled(grad: Tensor, logits: Tensor, gradient: Tensor) -> Tensor:
    """Scale the gradient of the forward pass; it has no derivative by the logits."""
    return (gradient * grad).to(logits.dtype)


def _one_class(
    probs: Float32[Tensor, "batch height width"],
    own: Bool[Tensor, "batch height width"],
    valid: Bool[Tensor, "batch height width"],
) -> tuple[Float32[Tensor, ""], Float32[Tensor, "batch height width"]]:
    """Compute the loss of one class and its gradient by the class's probabilities.

    Errors are sorted from high to low. The weight of each is the growth of 1 - IoU when its pixel
    joins the wrong ones, written without a difference of nearly equal numbers.

    Args:
        probs: Probability of the class.
        own: True for the pixels of the class; there is at least one.
        valid: True where there is a label.
    """
    errors = torch.where(own, 1 - probs, probs).where(valid, -1).flatten()  # (pixels,)
    errors, order = errors.sort(descending=True)  # ignored pixels come last
    sorted_own = own.flatten()[order]  # (pixels,)
    found = sorted_own.cumsum(0, dtype=torch.int32)
    intersection = (own.sum() - found).float()  # (pixels,), after the pixel has joined
    union = (own.sum() + (~sorted_own).cumsum(0, dtype=torch.int32)).float()  # (pixels,)
    weights = torch.where(sorted_own, 1 / union, intersection / (union * (union - 1)))
    weights = weights.where(errors != -1, 0)
    loss = (errors * weights).sum()
    slopes = torch.empty_like(weights).scatter_(0, order, weights.where(~sorted_own, -weights))
    return loss, slopes.view(own.shape)
