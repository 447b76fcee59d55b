"""Frozen parts of the encoder: weights and batch-norm statistics that training leaves alone."""

from __future__ import annotations

from torch.nn.modules.batchnorm import _BatchNorm

from eseg.errors import BackboneError
from eseg.models.eseg import ESeg
from eseg.models.layers import Encoder


def freeze_encoder(network: ESeg, stages: int, *, norms: bool = False) -> None:
    """Freeze the first stages of a network's encoder, in place.

    Frozen weights require no gradient, so that the backward pass ends where they begin. Frozen
    batch norms stay in evaluation mode when the network is set to training mode.

    Args:
        network: The network.
        stages: Stages to freeze, with the statistics of their batch norms; stage i ends with the
            encoder's map at stride 2^i.
        norms: If True, freeze the statistics of all batch norms of the encoder.

    Raises:
        BackboneError: The encoder has no map at that stride.
    """
    encoder = network.encoder
    frozen = set()
    if stages:
        if not isinstance(encoder, Encoder):
            raise BackboneError(f"{type(encoder).__name__} has no `parameters_up_to`")
        frozen = set(encoder.parameters_up_to(stages))
    for parameter in frozen:
        parameter.requires_grad_(False)
    network.frozen_norms = tuple(
        f"encoder.{name}"
        for name, module in encoder.named_modules()
        if isinstance(module, _BatchNorm) and (norms or frozen & set(module.parameters()))
    )
    network.train(network.training)
