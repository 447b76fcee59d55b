"""The decoders that a config can name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from torch import nn

from eseg.models.bifpn import BiFPN
from eseg.models.deeplabv3plus import DeepLabV3Plus
from eseg.models.fpn import FPN
from eseg.models.layers import FeatureSpec, FeatureStage

if TYPE_CHECKING:  # the config checks its decoder against the names here
    from eseg.models.config import ModelConfig

DecoderBuilder: TypeAlias = (
    "Callable[[list[FeatureSpec], ModelConfig, type[nn.Module]], FeatureStage]"
)
"""From the pyramid's maps (fine to coarse), the config and the activation to a decoder. All maps
that a decoder returns have `config.channels` channels; the first is at the finest level."""

DECODERS: dict[str, DecoderBuilder] = {
    "bifpn": lambda features, config, act: BiFPN(
        features, config.channels, config.repeats, act=act
    ),
    "fpn": lambda features, config, act: FPN(features, config.channels, act=act),
    "deeplabv3plus": lambda features, config, act: DeepLabV3Plus(
        features, config.channels, act=act
    ),
}
"""The decoders by name."""
