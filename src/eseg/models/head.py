"""Prediction head, from the fused map to class scores."""

from __future__ import annotations

from torch import nn

from eseg.models.layers import SeparableConvNormAct


class SegmentationHead(nn.Sequential):
    """One separable 3x3 convolution, then a 1x1 classifier, at the finest level (section 3.1).

    Args:
        channels: Width of the fused map.
        num_classes: Channels of the logits.
        act: Activation of the convolution.
    """

    def __init__(self, channels: int, num_classes: int, act: type[nn.Module]) -> None:
        super().__init__(
            SeparableConvNormAct(channels, channels, act=act),
            nn.Conv2d(channels, num_classes, 1),
        )

    def init_classifier(self) -> None:
        """Draw weights from N(0, 0.01^2) and zero the bias: class scores start near uniform."""
        classifier = self[-1]
        assert isinstance(classifier, nn.Conv2d)
        nn.init.normal_(classifier.weight, std=0.01)
        assert classifier.bias is not None
        nn.init.zeros_(classifier.bias)
