"""From a preset or a config to a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn

from eseg.errors import BackboneError
from eseg.models.bifpn import BiFPN
from eseg.models.config import LITE_BACKBONE, PRESETS, ModelConfig
from eseg.models.deeplabv3plus import DeepLabV3Plus
from eseg.models.encoder import TimmEncoder
from eseg.models.eseg import ESeg
from eseg.models.fpn import FPN
from eseg.models.fusion import SoftmaxFusion
from eseg.models.head import SegmentationHead
from eseg.models.layers import FeatureSpec, FeatureStage, init_convolutions, set_batch_norms
from eseg.models.lite_encoder import LiteEncoder
from eseg.models.pyramid import AveragePyramid

ACTIVATIONS: dict[str, type[nn.Module]] = {"silu": nn.SiLU, "relu": nn.ReLU}

DecoderBuilder = Callable[[list[FeatureSpec], ModelConfig, type[nn.Module]], FeatureStage]

DECODERS: dict[str, DecoderBuilder] = {
    "bifpn": lambda features, config, act: BiFPN(
        features, config.channels, config.repeats, act=act
    ),
    "fpn": lambda features, config, act: FPN(features, config.channels, act=act),
    "deeplabv3plus": lambda features, config, act: DeepLabV3Plus(
        features, config.channels, act=act
    ),
}


def list_models() -> list[str]:
    """Names of the presets, small to large (Table 3)."""
    return list(PRESETS)


def create_model(
    model: str | ModelConfig,
    *,
    pretrained_backbone: bool | str | Path = False,
    **overrides: Any,
) -> ESeg:
    """Build a network of the family, or a variation of one.

    Args:
        model: A preset of `list_models()`, or a config of your own.
        pretrained_backbone: True loads the encoder's ImageNet weights through timm (downloaded
            once, then cached); a path loads them from a file. Everything else starts at random.
        **overrides: Fields of `ModelConfig` to change, such as `num_classes=11`, `max_level=5`,
            `backbone="resnet50"`, `decoder="fpn"`.

    Returns:
        The network in training mode, on torch's default device.

    Raises:
        ValueError: An unknown preset, an unknown field or a value out of its range.
        BackboneError: A backbone that cannot serve, or weights that cannot be had.

    Example:
        >>> model = create_model("eseg_lite_s", num_classes=11)
        >>> model(torch.rand(1, 3, 360, 480)).shape
        torch.Size([1, 11, 360, 480])
    """
    config = resolve_config(model, **overrides)
    act = ACTIVATIONS[config.activation]
    encoder, mean, std = _build_encoder(config, act, pretrained_backbone)
    levels = 0 if config.decoder == "deeplabv3plus" else config.max_level - 5
    pyramid = AveragePyramid(encoder.features, levels)
    decoder = DECODERS[config.decoder](pyramid.features, config, act)
    fusion = SoftmaxFusion(len(decoder.features), config.fusion_slope)
    head = SegmentationHead(config.channels, config.num_classes, act=act)

    # Deviation: a timm backbone keeps its epsilon, 1e-5 most often, where the paper's code base has
    # 1e-3: pretrained weights expect theirs, and from scratch a network should be the same one.
    own = [decoder, head] if isinstance(encoder, TimmEncoder) else [encoder, decoder, head]
    for part in own:
        init_convolutions(part)
        set_batch_norms(part, momentum=config.norm_momentum, eps=config.norm_eps)
    set_batch_norms(encoder, momentum=config.norm_momentum)
    head.init_classifier()
    return ESeg(
        encoder=encoder,
        pyramid=pyramid,
        decoder=decoder,
        fusion=fusion,
        head=head,
        mean=mean,
        std=std,
        config=config,
    )


def resolve_config(model: str | ModelConfig, **overrides: Any) -> ModelConfig:
    """The config of a preset, or the one given, with some fields changed; see `create_model`."""
    if isinstance(model, str):
        if model not in PRESETS:
            raise ValueError(f"no preset {model!r}; there are {', '.join(PRESETS)}")
        model = PRESETS[model]
    fields = [field.name for field in dataclasses.fields(ModelConfig)]
    unknown = [name for name in overrides if name not in fields]
    if unknown:
        raise ValueError(
            f"ModelConfig has no field {', '.join(unknown)}; it has {', '.join(fields)}"
        )
    return dataclasses.replace(model, **overrides)


def _build_encoder(
    config: ModelConfig, act: type[nn.Module], pretrained: bool | str | Path
) -> tuple[LiteEncoder | TimmEncoder, tuple[float, ...], tuple[float, ...]]:
    if config.backbone != LITE_BACKBONE:
        encoder = TimmEncoder(
            config.backbone,
            in_channels=config.in_channels,
            min_level=config.min_level,
            atrous=config.atrous,
            pretrained=pretrained,
        )
        mean, std = encoder.mean, encoder.std
    elif pretrained is not False:
        raise BackboneError(
            "the Lite encoders have no public ImageNet weights; train from scratch "
            "(pretrained_backbone=False), start from a checkpoint of your own, or take eseg_s"
        )
    else:
        encoder = LiteEncoder(
            config.width,
            config.depth,
            in_channels=config.in_channels,
            min_level=config.min_level,
            act=act,
        )
        mean, std = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    return encoder, _per_channel(mean, config.in_channels), _per_channel(std, config.in_channels)


def _per_channel(rgb: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Statistics for other channel counts: the mean over RGB; three channels keep their own."""
    return rgb if channels == len(rgb) else (sum(rgb) / len(rgb),) * channels
