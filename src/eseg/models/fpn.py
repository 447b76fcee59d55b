"""FPN, the top-down decoder of the comparison in Table 2."""

from __future__ import annotations

from torch import Tensor, nn

from eseg.models.layers import ConvNormAct, FeatureSpec, FeatureStage, resize_to


class FPN(FeatureStage):
    """1x1 laterals, one top-down pass, a full 3x3 convolution per level.

    Args:
        features: Maps of the pyramid, fine to coarse.
        channels: Width of every output.
        act: Activation after the 3x3 convolutions.
    """

    def __init__(self, features: list[FeatureSpec], channels: int, act: type[nn.Module]) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(ConvNormAct(spec.channels, channels) for spec in features)
        self.outputs = nn.ModuleList(ConvNormAct(channels, channels, 3, act=act) for _ in features)
        self.features = [FeatureSpec(channels, spec.stride) for spec in features]

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Map levels, fine to coarse, to as many maps of the same sizes."""
        merged = [lateral(x) for lateral, x in zip(self.laterals, features, strict=True)]
        for level in range(len(merged) - 2, -1, -1):
            coarser = resize_to(merged[level + 1], merged[level], mode="nearest")  # size of level
            merged[level] = merged[level] + coarser
        return [output(x) for output, x in zip(self.outputs, merged, strict=True)]
