"""Architecture of a network, the decoders that it can name, and the six networks of the paper."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from eseg.models.bifpn import BiFPN
from eseg.models.deeplabv3plus import DeepLabV3Plus
from eseg.models.fpn import FPN
from eseg.models.layers import ACTIVATIONS, FeatureSpec, FeatureStage
from eseg.runtime.class_table import MAX_CLASSES

LITE_BACKBONE = "lite"
"""Backbone name of the encoder of section 3.3, which is not a timm network."""


@dataclass(frozen=True)
class ModelConfig:
    """Architecture of one network; every field can be overridden in `create_model`.

    Attributes:
        backbone: timm name of a convolutional network, with the tag of its ImageNet weights
            (`efficientnet_b1.ft_in1k`), or `lite` for the encoder of section 3.3.
        width: Multiplier of the Lite encoder's channels; timm backbones carry their own.
        depth: Multiplier of the Lite encoder's blocks; timm backbones carry their own.
        in_channels: Channels of the input image, 3 for RGB.
        num_classes: Channels of the logits, ignore not counted.
        min_level: Finest level i of the decoder (stride 2^i), in [2, 5]; the head sits there.
        max_level: Coarsest level of the decoder, in [5, 9] (Table 1). DeepLabV3+ ignores it: its
            coarsest level is P5.
        decoder: Name in `DECODERS`: `bifpn` (the paper's), `fpn` (Table 2) or `deeplabv3plus`
            (Table 8).
        channels: Width of the decoder and the head; the ASPP width for DeepLabV3+.
        repeats: Number of BiFPN layers; the other decoders make one pass.
        atrous: If True, keep P5 at stride 16 with dilated convolutions (Table 8, 'w/ atrous'); for
            DeepLabV3+ on a timm backbone only.
        activation: `silu`, or `relu` for the Lite family (section 3.3).
        norm_eps: Batch-norm epsilon of all parts but a timm backbone, which keeps the value that
            its weights were trained with.
        norm_momentum: Batch-norm momentum of the whole network, in torch's convention.
        fusion_slope: Difference between the initial fusion scalar of each level and that of the
            next coarser one. 0 is the paper's: all start at 1, so that each of seven levels has a
            seventh of the weight. 0.7 halves the initial weight from level to level, which helps
            runs too short for the softmax to learn it.
    """

    backbone: str = "efficientnet_b1.ft_in1k"
    width: float = 1.0
    depth: float = 1.0
    in_channels: int = 3
    num_classes: int = 19
    min_level: int = 2
    max_level: int = 9
    decoder: str = "bifpn"
    channels: int = 96
    repeats: int = 4
    atrous: bool = False
    activation: str = "silu"
    norm_eps: float = 1e-3
    norm_momentum: float = 0.01
    fusion_slope: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError for values that no network can be built from."""
        for name in ("in_channels", "num_classes", "channels", "repeats", "min_level", "max_level"):
            value = getattr(self, name)
            _require(isinstance(value, int) and value >= 1, self, name, "a whole number from 1")
        for name in ("width", "depth", "norm_eps"):
            _require(0 < getattr(self, name) < math.inf, self, name, "above 0 and finite")
        _require(self.num_classes <= MAX_CLASSES, self, "num_classes", f"at most {MAX_CLASSES}")
        _require(0 < self.norm_momentum <= 1, self, "norm_momentum", "in (0, 1]")
        _require(0 <= self.fusion_slope < math.inf, self, "fusion_slope", "0 or more and finite")
        _require(2 <= self.min_level <= 5, self, "min_level", "in [2, 5]")
        _require(5 <= self.max_level <= 9, self, "max_level", "in [5, 9]")
        for name, known in (("decoder", DECODERS), ("activation", ACTIVATIONS)):
            _require(getattr(self, name) in known, self, name, f"one of {', '.join(known)}")
        if self.atrous and (self.decoder != "deeplabv3plus" or self.backbone == LITE_BACKBONE):
            raise ValueError(
                "atrous: only deeplabv3plus on a timm backbone has an atrous form (Table 8); "
                f"this is {self.decoder} on {self.backbone}"
            )
        if self.decoder == "deeplabv3plus" and self.min_level > 3:
            raise ValueError("min_level: the skip of deeplabv3plus is at level 2 or 3")


def _require(holds: bool, config: ModelConfig, name: str, claim: str) -> None:
    if not holds:
        raise ValueError(f"{name} must be {claim}, not {getattr(config, name)!r}")


DECODERS: dict[str, Callable[[list[FeatureSpec], ModelConfig, type[nn.Module]], FeatureStage]] = {
    "bifpn": lambda features, config, act: BiFPN(features, config.channels, config.repeats, act),
    "fpn": lambda features, config, act: FPN(features, config.channels, act),
    "deeplabv3plus": lambda features, config, act: DeepLabV3Plus(features, config.channels, act),
}
"""Builders of the decoders by name, from the pyramid's maps (fine to coarse), the config and the
activation. All maps that a decoder returns have `config.channels` channels; the first is at the
finest level."""


def _lite(width: float, depth: float, channels: int, repeats: int) -> ModelConfig:
    return ModelConfig(
        backbone=LITE_BACKBONE,
        width=width,
        depth=depth,
        min_level=3,
        channels=channels,
        repeats=repeats,
        activation="relu",
    )


PRESETS: dict[str, ModelConfig] = {
    "eseg_lite_s": _lite(width=0.4, depth=0.6, channels=64, repeats=1),
    "eseg_lite_m": _lite(width=0.6, depth=1.0, channels=80, repeats=2),
    "eseg_lite_l": _lite(width=1.0, depth=1.0, channels=96, repeats=3),
    "eseg_s": ModelConfig(backbone="efficientnet_b1.ft_in1k", channels=96, repeats=4),
    "eseg_m": ModelConfig(backbone="efficientnet_b4.ra2_in1k", channels=192, repeats=5),
    # Only the variant ported from TensorFlow has ImageNet-1k weights at this size.
    "eseg_l": ModelConfig(backbone="tf_efficientnet_b7.ra_in1k", channels=288, repeats=6),
}
"""The family (Table 3), small to large within Lite and within the full networks."""
