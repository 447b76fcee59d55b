"""Construction of a network from a preset or a config."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from eseg.errors import BackboneError
from eseg.models.config import DECODERS, LITE_BACKBONE, PRESETS, ModelConfig
from eseg.models.encoder import TimmEncoder
from eseg.models.eseg import ESeg
from eseg.models.fusion import SoftmaxFusion
from eseg.models.head import SegmentationHead
from eseg.models.layers import ACTIVATIONS, init_convolutions, set_batch_norms
from eseg.models.lite_encoder import LiteEncoder
from eseg.models.pyramid import AveragePyramid


def list_models() -> list[str]:
    """List the names of the presets, small to large (Table 3)."""
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
        ValueError: A preset or field is unknown, or a value is out of its range.
        BackboneError: The backbone cannot serve as an encoder, or its weights cannot be loaded.

    Example:
        >>> model = create_model("eseg_lite_s", num_classes=11)
        >>> model(torch.rand(1, 3, 360, 480)).shape
        torch.Size([1, 11, 360, 480])
    """
    config = resolve_config(model, **overrides)
    act = ACTIVATIONS[config.activation]
    if config.backbone != LITE_BACKBONE:
        encoder = TimmEncoder(config, pretrained_backbone)
    elif pretrained_backbone is False:
        encoder = LiteEncoder(config)
    else:
        raise BackboneError(
            "the Lite encoders have no public ImageNet weights; train from scratch "
            "(pretrained_backbone=False), start from a checkpoint of your own, or use eseg_s"
        )
    levels = 0 if config.decoder == "deeplabv3plus" else config.max_level - 5
    pyramid = AveragePyramid(encoder.features, levels)
    decoder = DECODERS[config.decoder](pyramid.features, config, act)
    fusion = SoftmaxFusion(len(decoder.features), config.fusion_slope)
    head = SegmentationHead(config.channels, config.num_classes, act)

    # Deviation: a timm backbone keeps its epsilon, mostly 1e-5, in place of the 1e-3 of the paper's
    # code base: pretrained weights expect it, and a network from scratch should be the same.
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
        mean=_per_channel(encoder.mean, config.in_channels),
        std=_per_channel(encoder.std, config.in_channels),
        config=config,
    )


def resolve_config(model: str | ModelConfig, **overrides: Any) -> ModelConfig:
    """Return the config of a preset, or the one given, with some fields changed.

    Raises:
        ValueError: As for `create_model`.
    """
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


def _per_channel(rgb: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Return the statistics for a channel count; if it is not three, the mean over RGB for each."""
    return rgb if channels == len(rgb) else (sum(rgb) / len(rgb),) * channels
