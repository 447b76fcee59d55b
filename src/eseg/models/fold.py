"""Folding of a trained network: fusion weights and batch norms become constants of the graph."""

from __future__ import annotations

import copy
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from eseg.models.fusion import LearnedSum
from eseg.models.layers import ChannelAffine, Normalize

Network = TypeVar("Network", bound=nn.Module)

PROBE_SIZE = 64
"""Side of the image that finds the convolution before each batch norm and checks the result."""


def fold(model: Network) -> Network:
    """Copy a network for inference with fusion weights and batch norms turned into constants.

    All norms of the network must be batch norms, which includes timm's with activation and
    synchronised ones. The work is done in float64 on the CPU, whatever the network's precision.

    Args:
        model: The network; it is left unchanged. It must take a float image (batch, channels, 64,
            64) with the channels of its `normalize` module.

    Returns:
        The folded copy in evaluation mode, without gradients, on the network's device and in its
        precision.

    Raises:
        RuntimeError: The copy's output differs from the original's, because the network uses the
            output of a convolution elsewhere than in the batch norm after it; or a batch norm is
            left.
    """
    parameter = next(model.parameters())
    folded = copy.deepcopy(model).to("cpu", torch.float64).eval().requires_grad_(False)
    normalize = next(m for m in folded.modules() if isinstance(m, Normalize))
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, normalize.factor.shape[1], PROBE_SIZE, PROBE_SIZE, generator=generator)
    image = image.to(normalize.factor)
    before = folded(image)
    _fold_batch_norms(folded, image)
    for name, module in list(folded.named_modules()):
        if isinstance(module, LearnedSum):
            folded.set_submodule(name, module.fold())
    after = folded(image)
    if not torch.allclose(before, after, rtol=0, atol=1e-6 * max(1e-3, float(before.abs().max()))):
        raise RuntimeError(
            "folding changed the output of this network: one of its convolutions feeds more than "
            "the batch norm after it. Use it unfolded"
        )
    left = [name for name, module in folded.named_modules() if isinstance(module, _BatchNorm)]
    if left:
        raise RuntimeError(f"folding left batch norms that no image passes: {', '.join(left)}")
    return folded.to(parameter.device, parameter.dtype)


def _fold_batch_norms(model: nn.Module, image: Tensor) -> None:
    convolutions = _convolution_before_each_norm(model, image)
    names = {module: name for name, module in model.named_modules()}
    for norm in [m for m in names if isinstance(m, _BatchNorm)]:
        conv = convolutions.get(norm)
        if conv is None:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            replacement = ChannelAffine(factor, norm.bias - norm.running_mean * factor)
        else:
            model.set_submodule(names[conv], fuse_conv_bn_eval(conv, norm))
            replacement = nn.Identity()
        if hasattr(norm, "act"):
            # timm's batch norms hold the activation, which must be kept.
            replacement = nn.Sequential(replacement, cast(nn.Module, norm.act))
        model.set_submodule(names[norm], replacement)


def _convolution_before_each_norm(model: nn.Module, image: Tensor) -> dict[nn.Module, nn.Conv2d]:
    """Run the network once and record the convolution whose output each batch norm receives."""
    made_by: dict[int, nn.Conv2d] = {}
    alive: list[Tensor] = []  # an id is unique only while its tensor exists
    pairs: dict[nn.Module, nn.Conv2d] = {}

    def after_convolution(module: nn.Module, _: tuple, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        made_by[id(output)] = module
        alive.append(output)

    def before_norm(module: nn.Module, inputs: tuple) -> None:
        conv = made_by.get(id(inputs[0]))
        if conv is not None:
            pairs[module] = conv

    handles = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(after_convolution))
        elif isinstance(module, _BatchNorm):
            handles.append(module.register_forward_pre_hook(before_norm))
    model(image)
    for handle in handles:
        handle.remove()
    return pairs
