"""DeepLabV3+, a decoder of the comparison in Table 8."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eseg.models.layers import (
    ConvNormAct,
    FeatureSpec,
    FeatureStage,
    SeparableConvNormAct,
    resize_to,
)


class DeepLabV3Plus(FeatureStage):
    """Atrous spatial pyramid pooling on P5, refined with a skip from the finest level.

    Args:
        features: Maps of the encoder, fine to coarse; only the first and the last are used.
        channels: Width of the pyramid pooling and of the output; the paper's rows use 256.
        act: Activation of every convolution.
    """

    RATES = (6, 12, 18)
    SKIP_CHANNELS = 48

    def __init__(self, features: list[FeatureSpec], channels: int, act: type[nn.Module]) -> None:
        super().__init__()
        fine, coarse = features[0], features[-1]
        self.skip = ConvNormAct(fine.channels, self.SKIP_CHANNELS, act=act)
        self.branches = nn.ModuleList([ConvNormAct(coarse.channels, channels, act=act)])
        for rate in self.RATES:
            self.branches.append(ConvNormAct(coarse.channels, channels, 3, dilation=rate, act=act))
        self.image_branch = ConvNormAct(coarse.channels, channels, act=act)
        self.project = ConvNormAct(channels * (len(self.branches) + 1), channels, act=act)
        # The second of DeepLabV3+'s two refining convolutions is the one of the shared head.
        self.refine = SeparableConvNormAct(channels + self.SKIP_CHANNELS, channels, act=act)
        self.features = [FeatureSpec(channels, fine.stride)]

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Map the encoder's levels to a list of one map, of the finest level's size."""
        fine, coarse = features[0], features[-1]
        context = [branch(coarse) for branch in self.branches]
        image = self.image_branch(coarse.mean(dim=(2, 3), keepdim=True))  # (batch, channels, 1, 1)
        context.append(image.expand(-1, -1, *coarse.shape[-2:]))  # 5 x (batch, channels, h5, w5)
        pooled = resize_to(self.project(torch.cat(context, dim=1)), fine)  # (batch, channels, h, w)
        return [self.refine(torch.cat([pooled, self.skip(fine)], dim=1))]
