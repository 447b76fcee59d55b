"""Frozen encoder stages and batch-norm statistics, on timm backbones and the Lite encoder."""

import dataclasses

import pytest
import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import nn

from eseg.errors import BackboneError
from eseg.models import create_model, freeze_encoder

BACKBONES = ["lite", "resnet18", "tinynet_e"]


@pytest.fixture
def build(tiny):
    """A network in training mode; tinynet_e has timm's batch norms with activation."""

    def make(backbone):
        torch.manual_seed(0)
        return create_model(dataclasses.replace(tiny, backbone=backbone, min_level=2))

    return make


def encoder_maps(network, image):
    """The encoder's maps by their level."""
    maps = network.encoder(network.normalize(image))
    return {
        spec.stride.bit_length() - 1: x
        for spec, x in zip(network.encoder.features, maps, strict=True)
    }


def norm_modules(module):
    return [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("stages", [1, 2, 4, 5])
def test_frozen_are_exactly_the_weights_before_the_end_of_the_stage(build, backbone, stages):
    network = build(backbone)
    freeze_encoder(network, stages)
    frozen = [p for p in network.parameters() if not p.requires_grad]
    trained = [p for p in network.parameters() if p.requires_grad]
    assert frozen
    maps = encoder_maps(network, torch.rand(2, 3, 64, 96))
    # No backward pass goes through what is frozen.
    assert {level: x.requires_grad for level, x in maps.items()} == {
        level: level > stages for level in (2, 3, 4, 5)
    }
    network(torch.rand(2, 3, 64, 96)).sum().backward()
    assert all(p.grad is None for p in frozen)
    assert all(p.grad is not None for p in trained)
    names = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert all(name.startswith("encoder.") for name in names)
    if stages == 5:
        assert names == {n for n, _ in network.named_parameters() if n.startswith("encoder.")}


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(("stages", "norms"), [(3, False), (0, True), (2, True)])
def test_frozen_statistics_survive_training_mode_and_steps(build, backbone, stages, norms):
    network = build(backbone)
    freeze_encoder(network, stages, norms=norms)
    network.eval()
    network.train()
    assert network.training
    expected = {
        norm
        for norm in norm_modules(network.encoder)
        if norms or not any(p.requires_grad for p in norm.parameters())
    }
    assert {norm for norm in norm_modules(network) if not norm.training} == expected
    assert expected
    before = {name: value.clone() for name, value in network.named_buffers()}
    network(torch.rand(2, 3, 64, 96))
    frozen = {id(norm) for norm in expected}
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            same = torch.equal(before[f"{name}.running_mean"], module.running_mean)
            assert same == (id(module) in frozen), name


def test_norms_alone_are_frozen_but_trained(build):
    network = build("resnet18")
    freeze_encoder(network, 0, norms=True)
    assert all(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_frozen_norms_stay_frozen_when_synchronised(build, backbone):
    network = build(backbone)
    freeze_encoder(network, 2)
    count = len(network.frozen_norms)
    network = convert_sync_batchnorm(network)
    network.train()
    norms = norm_modules(network)
    assert all(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
    assert sum(not norm.training for norm in norms) == count > 0


def test_nothing_is_frozen_by_default_and_the_mode_is_kept(build):
    for mode in (True, False):
        network = build("lite").train(mode)
        freeze_encoder(network, 0)
        assert all(p.requires_grad for p in network.parameters())
        assert {m.training for m in network.modules()} == {mode}


def test_a_folded_copy_of_a_frozen_network_can_change_its_mode(build):
    network = build("tinynet_e")
    freeze_encoder(network, 3)
    folded = network.eval().fold()
    image = torch.rand(1, 3, 33, 47)
    with torch.no_grad():
        torch.testing.assert_close(folded.eval()(image), network(image), rtol=1e-3, atol=1e-4)


def test_a_missing_stage_is_named(build):
    network = build("convnext_atto")
    with pytest.raises(BackboneError, match=r"'convnext_atto' has no map at stride 2.*2, 3, 4, 5"):
        freeze_encoder(network, 1)
