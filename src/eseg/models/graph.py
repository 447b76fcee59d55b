"""Export of a network as one torch.export graph for every image size."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.fx.experimental._config as symbolic_shapes
from torch import _meta_registrations, nn
from torch.export import Dim, ExportedProgram

MAX_SIDE = 16_384
"""Longest image side, in pixels, that an exported graph accepts."""

_EXAMPLE_SIZE = (640, 768)  # P9 is 2x2 here: no side of any map is 1, which torch would bake in


def export_graph(
    model: nn.Module,
    in_channels: int = 3,
    *,
    from_pixels: bool = False,
    size: tuple[int, int] | None = None,
) -> ExportedProgram:
    """Export a network once, with height and width dynamic from 1 to `MAX_SIDE` pixels.

    Plain `torch.export.export` specialises on sides of one cell, and P9 is one cell wide up to 512
    pixels: its graphs refuse images below 513x513. Here sides stay symbolic throughout, so that
    one graph serves any size.

    Args:
        model: Takes an image (batch, channels, height, width); fold it first for the fastest graph.
        in_channels: Channels of the image.
        from_pixels: If True, the model takes uint8 (batch, height, width, channels) instead.
        size: The only (height, width) of the graph; None for all sizes.

    Returns:
        The exported program for batches of one image; its `module()` refuses sizes outside the
        range with a message.
    """
    parameter = next(model.parameters())
    if from_pixels:
        example = torch.zeros(1, *(size or _EXAMPLE_SIZE), in_channels, dtype=torch.uint8)
    else:
        example = torch.zeros(1, in_channels, *(size or _EXAMPLE_SIZE), dtype=parameter.dtype)
    example = example.to(parameter.device)
    if size is not None:
        return torch.export.export(model, (example,))
    sides = Dim("height", min=1, max=MAX_SIDE), Dim("width", min=1, max=MAX_SIDE)
    dynamic = dict(zip((1, 2) if from_pixels else (2, 3), sides, strict=True))
    # pyright does not see the functions that torch installs in its config modules.
    patch = symbolic_shapes.patch  # pyright: ignore[reportAttributeAccessIssue]
    with patch(backed_size_oblivious=True), _pooling_by_floor_division():
        return torch.export.export(model, (example,), dynamic_shapes=(dynamic,))


@contextmanager
def _pooling_by_floor_division() -> Iterator[None]:
    """Make the shape rule of pooling divide by Python's own floor division.

    The rule of torch 2.11 also tests for a remainder, although the result is the same for Python's
    numbers; the test alone ties a graph to sizes of the example's parity.
    """
    rule = getattr(_meta_registrations, "div_rtn", None)
    if rule is None:
        yield
        return
    _meta_registrations.div_rtn = operator.floordiv
    try:
        yield
    finally:
        _meta_registrations.div_rtn = rule
