"""Exact upsampling of logits to labels in torch, without ever holding full-size logits.

A 1024x2048 image in 19 classes has 160 MB of logits once they are upsampled, but 2 MB of labels.
On a CPU `eseg.runtime.upsampling` makes them in the tensors' own memory, interpolating on the
borders between classes only. On other devices they are made in strips of rows, each upsampled,
reduced to labels and forgotten; tests run that form on a CPU, and it has been timed on no other
device. Upsampling is bilinear with `align_corners=False`, exactly as in training, at any ratio.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from eseg.runtime.class_table import MAX_CLASSES
from eseg.runtime.tiling import half_pixel_positions
from eseg.runtime.upsampling import write_labels

_STRIP_ELEMENTS = 1 << 20
"""Upsampled numbers held at once, 4 MB; all of a 1024x2048 image in 150 classes are 1.2 GB."""


@torch.no_grad()
def upsample_labels(
    logits: Float[Tensor, "batch classes height width"],
    size: tuple[int, int],
    *,
    with_confidence: bool = False,
) -> tuple[
    UInt8[Tensor, "batch out_height out_width"],
    Float32[Tensor, "batch out_height out_width"] | None,
]:
    """Find the most probable class of every pixel at another size.

    Equal to `interpolate(logits, size, mode="bilinear").argmax(1)` up to the order of rounding.

    Args:
        logits: Unnormalised scores in any memory format; computed in float32 whatever their dtype.
        size: Wanted (height, width) in pixels, each at least 1.
        with_confidence: If True, compute the softmax probability of each label too, which takes
            several times as long as the labels alone: every class counts at every pixel.

    Returns:
        Class ids in [0, classes), and their probabilities in (0, 1] or None.

    Raises:
        ValueError: There are more classes than 8-bit labels can hold.
    """
    batch, classes = logits.shape[:2]
    if classes > MAX_CLASSES:
        raise ValueError(f"labels are 8-bit: at most {MAX_CLASSES} classes, not {classes}")
    labels = torch.empty(batch, *size, dtype=torch.uint8, device=logits.device)
    confidence = torch.empty(batch, *size, device=logits.device) if with_confidence else None
    write = _write_tiles if logits.device.type == "cpu" else _write_strips
    write(logits, labels, confidence)
    return labels, confidence


def mean_probs(
    maps: Sequence[Float[Tensor, "batch classes _rows _columns"]], size: tuple[int, int]
) -> Iterator[tuple[slice, Float32[Tensor, "batch classes rows width"]]]:
    """Average class probabilities over maps of logits, in strips of rows from top to bottom.

    Args:
        maps: Logits of one image batch, each map of any size.
        size: (height, width) of the result.

    Yields:
        Rows of the result and their probabilities.
    """
    strips = [_upsampled_strips(logits, size) for logits in maps]
    for parts in zip(*strips, strict=True):
        rows, first = parts[0]
        total = first.softmax(dim=1)
        for _, strip in parts[1:]:
            total += strip.softmax(dim=1)
        yield rows, total / len(maps)


def _write_tiles(
    logits: Float[Tensor, "batch classes in_height in_width"],
    labels: UInt8[Tensor, "batch height width"],
    confidence: Float32[Tensor, "batch height width"] | None,
) -> None:
    """Fill in the labels, and the confidence where it is wanted, by NumPy or Numba."""
    for index, item in enumerate(logits.detach().float()):
        write_labels(
            item.numpy(),
            labels[index].numpy(),
            None if confidence is None else confidence[index].numpy(),
        )


def _write_strips(
    logits: Float[Tensor, "batch classes in_height in_width"],
    labels: UInt8[Tensor, "batch height width"],
    confidence: Float32[Tensor, "batch height width"] | None,
) -> None:
    """Fill in the labels, and the confidence where it is wanted, by torch alone."""
    for rows, strip in _upsampled_strips(logits, (labels.shape[1], labels.shape[2])):
        best, ids = strip.max(dim=1)  # (batch, rows, width)
        labels[:, rows] = ids.byte()
        if confidence is not None:
            confidence[:, rows] = (best - strip.logsumexp(dim=1)).exp()


def _upsampled_strips(
    logits: Float[Tensor, "batch classes in_height in_width"], size: tuple[int, int]
) -> Iterator[tuple[slice, Float32[Tensor, "batch classes rows width"]]]:
    """Yield (output rows, their float32 logits at the output's width), from top to bottom."""
    batch, classes, in_height, _ = logits.shape
    height, width = size
    above, below, share = torch_positions(in_height, height, logits.device)
    step = max(1, _STRIP_ELEMENTS // (batch * classes * width))
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        upper, lower = logits[:, :, above[rows]].float(), logits[:, :, below[rows]].float()
        blended = torch.lerp(upper, lower, share[rows, None])  # (batch, classes, rows, in_width)
        # The rows are in place, so only the width still changes.
        yield (
            rows,
            F.interpolate(
                blended, (rows.stop - rows.start, width), mode="bilinear", align_corners=False
            ),
        )


def torch_positions(
    inputs: int, outputs: int, device: torch.device | str = "cpu"
) -> tuple[Int64[Tensor, " outputs"], Int64[Tensor, " outputs"], Float32[Tensor, " outputs"]]:
    """Return `half_pixel_positions` as tensors, the indices clamped to the inputs."""
    cell, share = half_pixel_positions(inputs, outputs)
    before = torch.from_numpy(cell).long()
    after = (before + 1).clamp(max=inputs - 1)
    return before.clamp(min=0).to(device), after.to(device), torch.from_numpy(share).to(device)
