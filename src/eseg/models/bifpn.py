"""BiFPN, the paper's decoder: top-down and bottom-up passes, repeated (sections 2 and 3.1)."""

from __future__ import annotations

from torch import Tensor, nn

from eseg.models.fusion import FastNormalizedSum
from eseg.models.layers import (
    ConvNormAct,
    FeatureSpec,
    FeatureStage,
    SeparableConvNormAct,
    resize_to,
)


class BiFPN(FeatureStage):
    """Projects every level to one width, then mixes the levels in both directions, repeatedly.

    Each level has one 1x1 projection, shared by its top-down and its bottom-up node.

    Args:
        features: Maps of the pyramid, fine to coarse, each half the size of the one before.
        channels: Width of every output.
        repeats: Number of BiFPN layers.
        act: Activation of the nodes.
    """

    def __init__(
        self, features: list[FeatureSpec], channels: int, repeats: int, act: type[nn.Module]
    ) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(ConvNormAct(spec.channels, channels) for spec in features)
        layers = (BiFPNLayer(len(features), channels, act) for _ in range(repeats))
        self.layers = nn.ModuleList(layers)
        self.features = [FeatureSpec(channels, spec.stride) for spec in features]

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Map levels, fine to coarse, to as many maps of the same sizes."""
        # From (batch, channels of the level, h, w) to (batch, channels, h, w).
        features = [lateral(x) for lateral, x in zip(self.laterals, features, strict=True)]
        for layer in self.layers:
            features = layer(features)
        return features


class BiFPNLayer(nn.Module):
    """One top-down and one bottom-up pass over n levels: 2 (n - 1) nodes."""

    def __init__(self, levels: int, channels: int, act: type[nn.Module]) -> None:
        super().__init__()
        # Both lists are fine to coarse. The coarsest level has no top-down node, and so one input
        # less in the bottom-up pass; the finest has no bottom-up node.
        self.top_down = nn.ModuleList(FusionNode(2, channels, act) for _ in range(levels - 1))
        self.bottom_up = nn.ModuleList(
            FusionNode(3 if level < levels - 1 else 2, channels, act) for level in range(1, levels)
        )
        self.downsample = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Map n levels of one width, fine to coarse, to n maps of the same sizes."""
        coarsest = len(features) - 1
        down = list(features)
        for level in range(coarsest - 1, -1, -1):
            coarser = resize_to(down[level + 1], features[level], mode="nearest")  # size of level
            down[level] = self.top_down[level]([features[level], coarser])

        up = [down[0]]
        for level in range(1, coarsest + 1):
            finer = self.downsample(up[-1])  # size of level
            middle = [down[level]] if level < coarsest else []
            up.append(self.bottom_up[level - 1]([features[level], *middle, finer]))
        return up


class FusionNode(nn.Module):
    """Weighted sum, activation, separable 3x3 convolution, batch norm."""

    def __init__(self, inputs: int, channels: int, act: type[nn.Module]) -> None:
        super().__init__()
        self.weighted_sum = FastNormalizedSum(inputs)
        self.act = act()
        self.conv = SeparableConvNormAct(channels, channels)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Fuse maps of one shape into one of that shape."""
        return self.conv(self.act(self.weighted_sum(features)))
