"""Parameters and multiply-accumulates of networks, beside the paper's figures."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from eseg.models import PRESETS, ModelConfig, create_model
from eseg.reports.table import Table

PAPER_SIZE = (1024, 2048)
"""Image size, (height, width), at which the paper counts."""


class Profile(NamedTuple):
    """Cost of a network."""

    parameters: int
    """Trainable numbers."""
    macs: int
    """Multiply-accumulates of convolutions and matrix products for one image."""

    def cells(self) -> tuple[str, str]:
        """Format both for a table, in millions and in billions."""
        return f"{self.parameters / 1e6:.1f} M", f"{self.macs / 1e9:.1f} G"


class PaperFigures(NamedTuple):
    """The paper's figures, None where it has none; its "FLOPs" are MACs, its mIoU in per cent."""

    miou: float
    parameters: float | None = None
    macs: float | None = None


PAPER = {
    "eseg_lite_s": PaperFigures(76.0, macs=17e9),
    "eseg_lite_m": PaperFigures(78.6),
    "eseg_lite_l": PaperFigures(80.1),
    "eseg_s": PaperFigures(80.1, 6.9e6, 34.5e9),
    "eseg_m": PaperFigures(81.6, 20.0e6, 112e9),
    "eseg_l": PaperFigures(82.6, 70.5e6, 343e9),
}
"""The paper's figures for the presets (Tables 4 and 7, section 3.2), costs at `PAPER_SIZE`.

The mIoU is that on Cityscapes val without extra data; it is not measured here.
"""


def profile(model: str | ModelConfig, size: tuple[int, int] = PAPER_SIZE) -> Profile:
    """Count the cost of a preset or config for images of a (height, width), without its memory.

    The count is torch's, halved: interpolation, pooling and other element-wise work is left out,
    which the paper's own counter seems to include (1 to 2 %).
    """
    with torch.device("meta"):
        network = create_model(model).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, network.config.in_channels, *size))
    parameters = sum(p.numel() for p in network.parameters())
    return Profile(parameters, counter.get_total_flops() // 2)


def profile_presets(size: tuple[int, int] = PAPER_SIZE) -> dict[str, Profile]:
    """Profile every preset, small to large."""
    return {name: profile(name, size) for name in PRESETS}


def profile_table(profiles: dict[str, Profile], size: tuple[int, int] = PAPER_SIZE) -> Table:
    """Return presets and their cost at a (height, width), beside the paper's figures."""
    rows = []
    for name, counted in profiles.items():
        config, paper = PRESETS[name], PAPER[name]
        scale = f" {config.width}, {config.depth}" if config.backbone == "lite" else ""
        paper_macs = paper.macs if size == PAPER_SIZE else None
        parameters, macs = counted.cells()
        rows.append(
            (
                name,
                config.backbone.split(".")[0] + scale,
                f"P{config.min_level}-P{config.max_level}",
                f"{config.channels} x {config.repeats}",
                parameters,
                "-" if paper.parameters is None else f"{paper.parameters / 1e6:.1f} M",
                macs,
                "-" if paper_macs is None else f"{paper_macs / 1e9:g} G",
            )
        )
    headings = ("model", "encoder", "levels", "BiFPN", "params", "paper", "MACs", "paper")
    return Table(headings, rows, title="19 classes at {}x{}".format(*size))
