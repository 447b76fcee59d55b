"""A network as one torch.export graph for every image size."""

from __future__ import annotations

import torch
import torch.fx.experimental._config as symbolic_shapes
from torch import nn
from torch.export import Dim, ExportedProgram

MAX_SIDE = 16_384
"""Longest image side, in pixels, that an exported graph accepts."""

_EXAMPLE_SIZE = (640, 768)  # P9 is 2x2 here: no side of any map is 1, which torch would bake in


def export_graph(model: nn.Module, in_channels: int = 3) -> ExportedProgram:
    """Export a network once, with height and width dynamic from 1 to `MAX_SIDE` pixels.

    Plain `torch.export.export` treats a side of one cell as another program than a longer one, and
    P9 is one cell wide up to 512 pixels: its graphs refuse images below 513x513. Here sides are
    kept symbolic throughout, so that one graph serves any size.

    Args:
        model: Takes an image (batch, channels, height, width); fold it first for the fastest graph.
        in_channels: Channels of the image.

    Returns:
        The exported program for batches of one image; sizes outside the range are refused with a
        message by its `module()`.
    """
    parameter = next(model.parameters())
    example = torch.rand(1, in_channels, *_EXAMPLE_SIZE, device=parameter.device)
    dynamic = {2: Dim("height", min=1, max=MAX_SIDE), 3: Dim("width", min=1, max=MAX_SIDE)}
    # pyright does not see the functions that torch installs in its config modules.
    patch = symbolic_shapes.patch  # pyright: ignore[reportAttributeAccessIssue]
    with patch(backed_size_oblivious=True):
        return torch.export.export(model, (example.to(parameter.dtype),), dynamic_shapes=(dynamic,))
