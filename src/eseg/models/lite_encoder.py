"""The encoder of the Lite family: EfficientNet-B0 for GPUs and TensorRT (section 3.3)."""

from __future__ import annotations

import math
from typing import NamedTuple

from jaxtyping import Float
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from eseg.models.config import ModelConfig
from eseg.models.layers import ACTIVATIONS, ConvNormAct, Encoder, FeatureSpec


class Stage(NamedTuple):
    """Row of EfficientNet-B0's table: blocks of one kernel size, the first with the stride."""

    expansion: int
    channels: int
    repeats: int
    stride: int
    kernel: int


STAGES = (
    Stage(expansion=1, channels=16, repeats=1, stride=1, kernel=3),
    Stage(expansion=6, channels=24, repeats=2, stride=2, kernel=3),
    Stage(expansion=6, channels=40, repeats=2, stride=2, kernel=5),
    Stage(expansion=6, channels=80, repeats=3, stride=2, kernel=3),
    Stage(expansion=6, channels=112, repeats=3, stride=1, kernel=5),
    Stage(expansion=6, channels=192, repeats=4, stride=2, kernel=5),
    Stage(expansion=6, channels=320, repeats=1, stride=1, kernel=3),
)
STEM_CHANNELS = 32


def scale_channels(channels: int, width: float) -> int:
    """Scale a channel count and round it to a multiple of 8, never down by more than 10 %."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * scaled else rounded + 8


class FusedMBConv(nn.Module):
    """Full k x k expansion and 1x1 projection, with a shortcut where the shape stays.

    Without expansion there is nothing to project: one k x k convolution does both, as in
    EfficientNetV2. Only this reading gives Lite-S the paper's 17 B. Kernel and expansion are those
    of the `stage`.
    """

    def __init__(
        self, stage: Stage, in_channels: int, out_channels: int, stride: int, act: type[nn.Module]
    ) -> None:
        super().__init__()
        hidden = out_channels if stage.expansion == 1 else in_channels * stage.expansion
        first = ConvNormAct(in_channels, hidden, stage.kernel, stride=stride, act=act)
        self.convs = nn.Sequential(first)
        if stage.expansion > 1:
            self.convs.append(ConvNormAct(hidden, out_channels))
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, h, w) to (batch, out_channels, ceil(h/s), ceil(w/s))."""
        out = self.convs(x)
        return out + x if self.has_shortcut else out


class LiteEncoder(Encoder):
    """EfficientNet-B0 with Fused-MBConv of the same kernel sizes, without SE and swish.

    Of the config it takes the multipliers of the channels (rounded as in EfficientNet) and of the
    blocks per stage (rounded up), the channels of the image, the finest level to return and the
    activation, ReLU in the paper.
    """

    mean, std = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        act = ACTIVATIONS[config.activation]
        channels, stride = scale_channels(STEM_CHANNELS, config.width), 2
        self.stem = ConvNormAct(config.in_channels, channels, 3, stride=stride, act=act)
        # One entry per resolution, with all the stages at it.
        levels = [nn.Sequential()]
        outputs: list[FeatureSpec] = []
        for stage in STAGES:
            if stage.stride > 1:
                outputs.append(FeatureSpec(channels, stride))
                stride *= stage.stride
                levels.append(nn.Sequential())
            for block in range(math.ceil(stage.repeats * config.depth)):
                out_channels = scale_channels(stage.channels, config.width)
                own_stride = stage.stride if block == 0 else 1
                levels[-1].append(FusedMBConv(stage, channels, out_channels, own_stride, act))
                channels = out_channels
        outputs.append(FeatureSpec(channels, stride))
        self.levels = nn.ModuleList(levels)
        self.first = config.min_level - 1  # levels[0] is at stride 2, P1
        self.features = outputs[self.first :]

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> list[Tensor]:
        """Return the maps of `features`, fine to coarse."""
        x = self.stem(image)  # stride 2
        maps = []
        for level in self.levels:
            x = level(x)  # level i of the list: stride 2^(i + 1)
            maps.append(x)
        return maps[self.first :]

    def parameters_up_to(self, level: int) -> list[nn.Parameter]:
        """Return the parameters that the map at stride 2^level depends on; level in [1, 5]."""
        return [*self.stem.parameters(), *self.levels[:level].parameters()]
