"""Levels beyond P5, pooled from the encoder's last map."""

from __future__ import annotations

from torch import Tensor, nn

from eseg.models.layers import FeatureSpec, FeatureStage


class AveragePyramid(FeatureStage):
    """Appends P6, P7, ... by 3x3 stride-2 average pooling, keeping P5's channels (section 3.1).

    There is no convolution: the new levels cost very little and have large receptive fields.

    Args:
        features: The encoder's maps, fine to coarse.
        extra_levels: Number of levels to append, 4 for P6 to P9.
    """

    def __init__(self, features: list[FeatureSpec], extra_levels: int) -> None:
        super().__init__()
        # Padding is left out of the mean; otherwise the borders of small maps would fade.
        self.pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        self.extra_levels = extra_levels
        channels, stride = features[-1]
        extra = [FeatureSpec(channels, stride << step) for step in range(1, extra_levels + 1)]
        self.features = [*features, *extra]

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Return the given maps, fine to coarse, followed by the pooled ones."""
        features = list(features)
        for _ in range(self.extra_levels):
            features.append(self.pool(features[-1]))  # half the size, rounded up
        return features
