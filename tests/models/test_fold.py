import dataclasses

import pytest
import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import nn

from eseg.models import create_model
from eseg.models.fold import fold
from eseg.models.graph import export_graph
from eseg.models.layers import BatchNorm2d, ConvNormAct, Normalize

VARIATIONS = {
    "lite": {},
    "efficientnet": {"backbone": "efficientnet_lite0", "activation": "silu"},
    "resnet": {"backbone": "resnet18"},
    "preactivation": {"backbone": "densenet121"},
    "fpn": {"decoder": "fpn"},
    "deeplabv3plus": {"decoder": "deeplabv3plus", "backbone": "efficientnet_b0", "atrous": True},
}


@pytest.mark.parametrize("changes", VARIATIONS.values(), ids=VARIATIONS.keys())
def test_folded_logits_equal_unfolded(tiny, randomise, changes):
    model = randomise(create_model(dataclasses.replace(tiny, **changes))).eval()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    folded = model.fold()

    image = torch.rand(2, 3, 70, 90)
    with torch.no_grad():
        before, after = model(image), folded(image)
    assert (before - after).abs().max() <= 1e-4 * before.abs().max()
    assert not any(isinstance(m, nn.modules.batchnorm._NormBase) for m in folded.modules())
    assert not folded.training
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_synchronised_batch_norms_fold_too(tiny, randomise):
    config = dataclasses.replace(tiny, backbone="mobilenetv3_small_050")
    model = convert_sync_batchnorm(randomise(create_model(config))).eval()
    image = torch.rand(1, 3, 33, 47)
    with torch.no_grad():
        torch.testing.assert_close(model.fold()(image), model(image), rtol=1e-4, atol=1e-5)


def test_low_precision_is_no_obstacle(tiny, randomise):
    """Folding computes in float64 whatever the network's own type; the copy has that type."""
    model = randomise(create_model(tiny)).eval()
    half = model.to(torch.bfloat16).fold()
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("backbone", ["lite", "mobilenetv3_small_050"])
def test_no_learned_constant_is_computed_in_the_graph(tiny, unchecked, backbone):
    model = create_model(dataclasses.replace(tiny, backbone=backbone)).eval()

    def operations(network):
        nodes = export_graph(network).graph.nodes
        return {str(n.target) for n in nodes if n.op == "call_function"}

    def constants(names):
        return {
            n for n in names if any(k in n for k in ("norm", "softmax", "div.", "relu.default"))
        }

    assert {n.split(".")[1] for n in constants(operations(model))} >= {
        "softmax",
        "div",
        "batch_norm",
    }
    assert constants(operations(model.fold())) <= {"aten.relu.default"}


def test_batch_norms_move_into_the_convolutions(tiny):
    folded = create_model(tiny).fold()
    assert not any(type(m).__name__ == "ChannelAffine" for m in folded.modules())


def test_folding_refuses_a_convolution_with_two_readers():
    class Forked(nn.Module):
        def __init__(self):
            super().__init__()
            self.normalize = Normalize((0.5,), (0.5,))
            self.conv = nn.Conv2d(1, 2, 1)
            self.norm = BatchNorm2d(2)
            nn.init.constant_(self.norm.bias, 3.0)

        def forward(self, x):
            x = self.conv(self.normalize(x))
            return self.norm(x) + x

    with pytest.raises(RuntimeError, match="more than the batch norm"):
        fold(Forked())


def test_folding_keeps_the_activation_of_a_lone_batch_norm():
    class Plain(nn.Sequential):
        def __init__(self):
            super().__init__()
            self.normalize = Normalize((0.5,), (0.5,))
            self.norm = BatchNorm2d(1)
            self.conv = ConvNormAct(1, 2, act=nn.ReLU)

    model = Plain().eval()
    image = torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(fold(model)(image), model(image))
