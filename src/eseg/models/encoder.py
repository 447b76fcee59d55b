"""Encoder from a timm backbone: the maps P2 to P5."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import timm
import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.models import FeatureInfo
from torch import Tensor, nn

from eseg.errors import BackboneError
from eseg.models.config import ModelConfig
from eseg.models.layers import (
    Encoder,
    FeatureSpec,
    make_batch_norms_safe,
    make_padding_symmetric,
)

PROBE_SIZES = (65, 97), (1, 1)
"""Sizes that no stride divides, to find out how a backbone rounds the sizes of its maps."""


class TimmEncoder(Encoder):
    """The feature maps of a convolutional timm network, fine to coarse.

    Args:
        config: Architecture, of which the backbone (with or without the tag of its weights), the
            channels of the image, the finest level and `atrous` are used.
        pretrained: True loads the ImageNet weights of the backbone's tag through timm (downloaded
            once, then cached); a path loads them from a file.

    Raises:
        BackboneError: The name is unknown, the maps are not NCHW at strides 4 to 32, or weights
            cannot be loaded.
    """

    def __init__(self, config: ModelConfig, pretrained: bool | str | Path) -> None:
        super().__init__()
        self.name = config.backbone
        strides = [1 << level for level in range(config.min_level, 6)]
        indices, self.pads = _inspect(self.name, strides)
        options = {"features_only": True, "out_indices": indices, "in_chans": config.in_channels}
        if config.atrous:
            options["output_stride"] = 16
            strides[-1] = 16
        self.backbone = _create(self.name, pretrained, options)
        make_batch_norms_safe(self.backbone)
        make_padding_symmetric(self.backbone)
        channels = _feature_info(self.backbone).channels()
        self.features = [FeatureSpec(*spec) for spec in zip(channels, strides, strict=True)]
        trained = timm.get_pretrained_cfg(self.name, allow_unregistered=False)
        assert trained is not None  # timm has just built this network
        self.mean, self.std = tuple(trained.mean), tuple(trained.std)

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> list[Tensor]:
        """Return the maps of `features`; a side of n pixels gives ceil(n / stride) cells."""
        if not self.pads:
            return self.backbone(image)
        height, width = image.shape[-2:]
        padded = F.pad(image, (0, -width % 32, 0, -height % 32))
        return [
            x[..., : -(-height // spec.stride), : -(-width // spec.stride)]
            for x, spec in zip(self.backbone(padded), self.features, strict=True)
        ]

    def parameters_up_to(self, level: int) -> list[nn.Parameter]:
        """Return the parameters that the backbone's last map at stride 2^level depends on.

        Raises:
            BackboneError: It has no map at that stride.
        """
        reductions = _feature_info(_on_meta(self.name)).reduction()
        if 1 << level not in reductions:
            levels = sorted({stride.bit_length() - 1 for stride in reductions if stride > 1})
            raise BackboneError(
                f"backbone {self.name!r} has no map at stride {1 << level}, so that stage {level} "
                f"cannot be frozen; its stages are {', '.join(map(str, levels))}"
            )
        index = _last_at(reductions, 1 << level)
        network = _on_meta(self.name, out_indices=(index,))
        (output,) = network(torch.empty(1, 3, 64, 96, device="meta"))
        output.sum().backward()
        used = {name for name, p in network.named_parameters() if p.grad is not None}
        return [p for name, p in self.backbone.named_parameters() if name in used]


def _inspect(backbone: str, strides: list[int]) -> tuple[list[int], bool]:
    """Find the outputs of a backbone that have the strides, and if odd sizes need padding."""
    try:
        network = _on_meta(backbone)
    except Exception as error:  # of any kind, depending on the network
        raise BackboneError(
            f"backbone {backbone!r}: timm cannot build it as a feature extractor ({error}). "
            "timm.list_models() lists the names; a convolutional one with features_only is needed"
        ) from error
    reductions = _feature_info(network).reduction()
    channels = _feature_info(network).channels()
    missing = [stride for stride in strides if stride not in reductions]
    if missing:
        raise BackboneError(
            f"backbone {backbone!r} has maps at strides {reductions}, but {missing} is needed; "
            "choose a convolutional network with maps down to stride 32"
        )
    indices = [_last_at(reductions, stride) for stride in strides]

    def shapes(size: tuple[int, int]) -> list[tuple[int, ...]]:
        with torch.device("meta"):
            maps = network(torch.empty(1, 3, *size))
        return [tuple(maps[index].shape) for index in indices]

    def expected(size: tuple[int, int]) -> list[tuple[int, ...]]:
        return [
            (1, channels[index], *(math.ceil(side / stride) for side in size))
            for index, stride in zip(indices, strides, strict=True)
        ]

    try:
        divisible = shapes((64, 96))
    except Exception as error:  # mostly a fixed input size
        raise BackboneError(f"backbone {backbone!r} does not run at 64x96: {error}") from error
    if divisible != expected((64, 96)):
        raise BackboneError(
            f"backbone {backbone!r} gives maps of shape {divisible} for a 64x96 image, not NCHW at "
            f"strides {strides}; choose a convolutional network"
        )
    try:
        rounds_up = all(shapes(size) == expected(size) for size in PROBE_SIZES)
    except RuntimeError:
        rounds_up = False
    return indices, not rounds_up


def _on_meta(backbone: str, **options: Any) -> nn.Module:
    """Build a backbone's feature extractor without memory for its weights."""
    with torch.device("meta"):
        return timm.create_model(backbone, features_only=True, pretrained=False, **options).eval()


def _last_at(reductions: list[int], stride: int) -> int:
    """Return the index of the last map of a stride: of several, it has seen the most layers."""
    return len(reductions) - 1 - reductions[::-1].index(stride)


def _feature_info(network: nn.Module) -> FeatureInfo:
    return cast(FeatureInfo, network.feature_info)


def _create(backbone: str, pretrained: bool | str | Path, options: dict) -> nn.Module:
    if pretrained is False:
        return timm.create_model(backbone, pretrained=False, **options)
    overlay = None
    if pretrained is not True:
        path = Path(pretrained).expanduser()
        if not path.is_file():
            raise BackboneError(f"pretrained_backbone: no file at {path}")
        overlay = {"file": str(path)}
    try:
        return timm.create_model(
            backbone, pretrained=True, pretrained_cfg_overlay=overlay, **options
        )
    except Exception as error:  # of the hub client, the file system or torch
        remedy = (
            "the file must be a state dict of this timm network"
            if overlay
            else "without network, pass pretrained_backbone=FILE (weights fetched elsewhere), "
            "fill timm's cache (HF_HOME) beforehand, or train from scratch with "
            "pretrained_backbone=False"
        )
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BackboneError(
            f"no ImageNet weights for backbone {backbone!r}: {reason}. Options: {remedy}"
        ) from error
