"""Building blocks that encoder, decoders and head share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"silu": nn.SiLU, "relu": nn.ReLU}
"""The activations by name."""


class FeatureSpec(NamedTuple):
    """Channels and stride of one feature map, independent of the image's size.

    Attributes:
        channels: Number of channels.
        stride: Pixels of the image per cell; a side of n pixels gives ceil(n / stride) cells.
    """

    channels: int
    stride: int


class FeatureStage(nn.Module):
    """A part of the network whose `forward` returns a list of feature maps."""

    features: list[FeatureSpec]
    """Specification of each map, fine to coarse."""


class Encoder(FeatureStage):
    """The part from the normalised image to the maps P2 to P5."""

    mean: tuple[float, ...]
    """Mean RGB that the weights expect, in [0, 1]."""
    std: tuple[float, ...]
    """Standard deviation that the weights expect, in [0, 1]."""

    def parameters_up_to(self, level: int) -> list[nn.Parameter]:
        """Return the parameters that the encoder's map at stride 2^level depends on."""
        raise NotImplementedError


class ChannelAffine(nn.Module):
    """One constant factor and one constant offset per channel.

    `persistent` tells whether the state dict has them.
    """

    factor: Tensor
    offset: Tensor

    def __init__(self, factor: Tensor, offset: Tensor, *, persistent: bool = True) -> None:
        super().__init__()
        self.register_buffer("factor", factor.view(1, -1, 1, 1), persistent=persistent)
        self.register_buffer("offset", offset.view(1, -1, 1, 1), persistent=persistent)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Scale and shift per channel."""
        return x * self.factor + self.offset


class Normalize(ChannelAffine):
    """Normalisation of RGB in [0, 1] by the statistics that the backbone was trained with.

    Each channel becomes `(image - mean) / std`. The constants are stored as a factor and an offset,
    so that the graph has no division. They are not in the state dict: they belong to the backbone,
    not to the training.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        if len(mean) != len(std):
            raise ValueError(f"{len(mean)} means but {len(std)} standard deviations")
        scale = torch.tensor(std, dtype=torch.float64)
        shift = torch.tensor(mean, dtype=torch.float64)
        super().__init__((1 / scale).float(), (-shift / scale).float(), persistent=False)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm that accepts a single value per channel in training.

    P8 and P9 are 1x1 for small images; in a batch of one their variance is zero, which torch
    refuses. Such a map is normalised by the running statistics and leaves them unchanged.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Normalise (batch, channels, height, width) per channel."""
        if self.training and has_single_value(input):
            return _normalize_by_running_statistics(self, input)
        return super().forward(input)


class SafeBatchNormAct2d(BatchNormAct2d):
    """timm's batch norm with activation, which accepts a single value per channel as well."""

    drop: nn.Module
    act: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (batch, channels, height, width) per channel, then activate."""
        if self.training and has_single_value(x):
            return self.act(
                self.drop(_normalize_by_running_statistics(cast(nn.BatchNorm2d, self), x))
            )
        return super().forward(x)


def has_single_value(x: Tensor) -> bool:
    """Return True if each channel of (batch, channels, height, width) holds one value only."""
    return x.shape[0] * x.shape[2] * x.shape[3] == 1


def _normalize_by_running_statistics(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    return F.batch_norm(
        x, norm.running_mean, norm.running_var, norm.weight, norm.bias, training=False, eps=norm.eps
    )


def make_batch_norms_safe(module: nn.Module) -> None:
    """Give every batch norm of a timm network the forward of the classes above, in place.

    Only the class changes, as in `torch.nn.utils.parametrize`: weights, statistics, activation
    and drop-out of each layer stay the same objects.
    """
    for part in module.modules():
        if type(part) is BatchNormAct2d:
            part.__class__ = SafeBatchNormAct2d
        elif type(part) is nn.BatchNorm2d:
            part.__class__ = BatchNorm2d


def make_padding_symmetric(module: nn.Module) -> None:
    """Make TensorFlow's SAME convolutions pad both sides equally, in place; sizes are unchanged.

    Deviation: their own padding depends on the image's size, which an exported graph for all sizes
    cannot express, and shifts the samples of strided layers by a pixel against other backbones.
    """
    for part in [cast(nn.Conv2d, m) for m in module.modules() if type(m) is Conv2dSame]:
        (height, width), (vertical, horizontal) = part.kernel_size, part.dilation
        part.padding = (vertical * (height - 1) // 2, horizontal * (width - 1) // 2)
        part.__class__ = nn.Conv2d


class ConvNormAct(nn.Sequential):
    """Convolution, batch norm and activation; every stride-s layer maps n to ceil(n / s)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        dilation: int = 1,
        act: type[nn.Module] | None = None,
    ) -> None:
        # Deviation: TensorFlow's SAME pads a strided layer more at the end than at the start;
        # this pads both sides equally, which gives the same sizes.
        padding = dilation * (kernel - 1) // 2
        conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding, dilation=dilation, bias=False
        )
        super().__init__(conv, BatchNorm2d(out_channels), *_activation(act))


class SeparableConvNormAct(nn.Sequential):
    """Depthwise 3x3 and pointwise 1x1 convolution, one batch norm after both, activation."""

    def __init__(
        self, in_channels: int, out_channels: int, *, act: type[nn.Module] | None = None
    ) -> None:
        super().__init__(
            nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            BatchNorm2d(out_channels),
            *_activation(act),
        )


def _activation(act: type[nn.Module] | None) -> list[nn.Module]:
    return [] if act is None else [act()]


def resize_to(
    x: Float[Tensor, "batch channels _ _"],
    reference: Float[Tensor, "_ _ height width"],
    mode: str = "bilinear",
) -> Float[Tensor, "batch channels height width"]:
    """Interpolate to the size of another map: `bilinear` (corners not aligned) or `nearest`."""
    align_corners = False if mode == "bilinear" else None
    return F.interpolate(x, size=reference.shape[-2:], mode=mode, align_corners=align_corners)


def init_convolutions(module: nn.Module) -> None:
    """Draw convolution weights from N(0, 2 / fan-out) as EfficientNet does; zero their biases."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            height, width = part.kernel_size
            fan_out = height * width * part.out_channels // part.groups
            nn.init.normal_(part.weight, std=math.sqrt(2 / fan_out))
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def set_batch_norms(module: nn.Module, *, momentum: float, eps: float | None = None) -> None:
    """Set momentum (torch's convention) and, where given, epsilon of every batch norm within."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = momentum
            part.eps = part.eps if eps is None else eps
