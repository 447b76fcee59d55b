"""Full-size label maps from a network's small logits, without ever holding full-size logits.

A 1024x2048 image in 19 classes has 160 MB of logits once they are upsampled, but 2 MB of labels.
On a CPU `labels_numpy` makes them in the tensors' own memory, interpolating on the borders between
classes only. On other devices they are made in strips of rows, each upsampled, reduced to labels
and forgotten; tests run that form on a CPU, and it has been timed on no other device. Upsampling is
bilinear with `align_corners=False`, exactly as in training, at any ratio, downwards too.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from eseg.runtime.upsampling import MAX_CLASSES, write_labels

_STRIP_ELEMENTS = 1 << 20
"""Upsampled logits held at once: 4 MB in float32."""


@torch.no_grad()
def upsample_labels(
    logits: Float[Tensor, "batch classes height width"], size: tuple[int, int]
) -> UInt8[Tensor, "batch out_height out_width"]:
    """The most probable class of every pixel at another size.

    Equal to `interpolate(logits, size, mode="bilinear").argmax(1)` up to the order of rounding.

    Args:
        logits: Unnormalised scores in any memory format; computed in float32 whatever their dtype.
        size: Wanted (height, width) in pixels, each at least 1.

    Returns:
        Class ids in [0, classes).

    Raises:
        ValueError: If there are more classes than 8-bit labels can hold.
    """
    labels = _empty_labels(logits, size)
    _write(logits, labels, None)
    return labels


@torch.no_grad()
def upsample_labels_with_confidence(
    logits: Float[Tensor, "batch classes height width"], size: tuple[int, int]
) -> tuple[
    UInt8[Tensor, "batch out_height out_width"], Float32[Tensor, "batch out_height out_width"]
]:
    """`upsample_labels`, and how sure the network is of each of them.

    This takes several times as long as the labels alone: every class counts at every pixel.

    Args:
        logits: Unnormalised scores in any memory format; computed in float32 whatever their dtype.
        size: Wanted (height, width) in pixels, each at least 1.

    Returns:
        Class ids in [0, classes), and the softmax probability of that class, in (0, 1].

    Raises:
        ValueError: If there are more classes than 8-bit labels can hold.
    """
    labels = _empty_labels(logits, size)
    confidence = torch.empty(labels.shape, dtype=torch.float32, device=logits.device)
    _write(logits, labels, confidence)
    return labels, confidence


def _empty_labels(
    logits: Float[Tensor, "batch classes height width"], size: tuple[int, int]
) -> UInt8[Tensor, "batch out_height out_width"]:
    """Room for the labels, once it is sure that they fit."""
    batch, classes = logits.shape[:2]
    if classes > MAX_CLASSES:
        raise ValueError(f"labels are 8-bit: at most {MAX_CLASSES} classes, not {classes}")
    return torch.empty(batch, *size, dtype=torch.uint8, device=logits.device)


def _write(
    logits: Float[Tensor, "batch classes height width"],
    labels: UInt8[Tensor, "batch out_height out_width"],
    confidence: Float32[Tensor, "batch out_height out_width"] | None,
) -> None:
    """Fill in the labels, and the confidence where it is wanted."""
    if logits.device.type != "cpu":
        _write_strips(logits, labels, confidence)
        return
    for index, item in enumerate(logits.detach().float()):
        write_labels(
            item.numpy(),
            labels[index].numpy(),
            None if confidence is None else confidence[index].numpy(),
        )


def _write_strips(
    logits: Float[Tensor, "batch classes height width"],
    labels: UInt8[Tensor, "batch out_height out_width"],
    confidence: Float32[Tensor, "batch out_height out_width"] | None,
) -> None:
    """`_write` on any device, by torch alone."""
    for rows, strip in _upsampled_strips(logits, (labels.shape[1], labels.shape[2])):
        best, ids = strip.max(dim=1)
        labels[:, rows] = ids.byte()
        if confidence is not None:
            confidence[:, rows] = (best - strip.logsumexp(dim=1)).exp()


def _upsampled_strips(
    logits: Float[Tensor, "batch classes height width"], size: tuple[int, int]
) -> Iterator[tuple[slice, Tensor]]:
    """Yield (output rows, their float32 logits at the output's width), from top to bottom."""
    batch, classes = logits.shape[:2]
    height, width = size
    step = max(1, _STRIP_ELEMENTS // (batch * classes * width))
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        yield rows, upsample_rows(logits, rows, size)


def upsample_rows(
    logits: Float[Tensor, "batch classes in_height in_width"], rows: slice, size: tuple[int, int]
) -> Float32[Tensor, "batch classes rows width"]:
    """`interpolate(logits, size, mode="bilinear")[:, :, rows]`, without making the other rows.

    The head's map reaches up to a cell beyond the image where its size is no multiple of the
    stride; resizing it to the image's size is what training does too.

    Args:
        logits: Unnormalised scores, computed in float32 whatever their dtype.
        rows: Which rows of the result are wanted.
        size: (height, width) of the whole result.
    """
    height, width = size
    last = logits.shape[-2] - 1
    # Where each output row lies between two input rows; the same formula in the same precision as
    # torch's own interpolation, which measures from pixel centres and repeats the border.
    centres = torch.arange(rows.start, rows.stop, dtype=torch.float32, device=logits.device) + 0.5
    position = (centres * (logits.shape[-2] / height) - 0.5).clamp(0, last)
    above = position.long()
    below = (above + 1).clamp(max=last)
    share = (position - above)[:, None]
    blended = torch.lerp(logits[:, :, above].float(), logits[:, :, below].float(), share)
    # The rows are in place, so only the width still changes.
    return F.interpolate(blended, (len(above), width), mode="bilinear", align_corners=False)
