import dataclasses
import math
import re

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import eseg
from eseg.errors import BackboneError
from eseg.models import PRESETS, ModelConfig, create_model, list_models

# Parameters in millions as printed, MACs in billions (Tables 1 to 4 and 8, section 3.2).
PAPER = [
    ("eseg_lite_s", {}, None, 17.0, 0.02),
    ("eseg_s", {}, 6.9, 34.5, 0.02),
    ("eseg_m", {}, 20.0, 112, 0.02),
    ("eseg_l", {}, 70.5, 343, 0.02),
    ("eseg_s", {"max_level": 5}, 6.4, 34.3, 0.02),
    ("eseg_s", {"max_level": 7}, 6.6, 34.5, 0.02),
    ("eseg_s", {"decoder": "fpn", "max_level": 5}, None, 39.8, 0.02),
    ("eseg_s", {"decoder": "fpn"}, None, 40.0, 0.02),
    ("eseg_s", {"backbone": "resnet50"}, None, 188.0, 0.02),
    ("eseg_s", {"decoder": "deeplabv3plus", "channels": 256, "atrous": True}, None, 91.8, 0.05),
    ("eseg_s", {"decoder": "deeplabv3plus", "channels": 256}, None, 49.9, 0.05),
]


@pytest.mark.parametrize(("name", "changes", "params", "macs", "tolerance"), PAPER)
def test_size_and_cost_are_those_of_the_paper(name, changes, params, macs, tolerance):
    with torch.device("meta"):
        model = create_model(name, **changes).eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 3, 1024, 2048))
    if params is not None:
        assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == params
    assert counter.get_total_flops() / 2e9 == pytest.approx(macs, rel=tolerance)


def test_presets_are_the_family_of_table_3():
    assert eseg.list_models() == list_models() == list(PRESETS)
    assert set(list_models()) == {f"eseg{lite}_{size}" for lite in ("", "_lite") for size in "sml"}
    decoders = {name: (config.channels, config.repeats) for name, config in PRESETS.items()}
    assert decoders == {
        "eseg_lite_s": (64, 1),
        "eseg_lite_m": (80, 2),
        "eseg_lite_l": (96, 3),
        "eseg_s": (96, 4),
        "eseg_m": (192, 5),
        "eseg_l": (288, 6),
    }
    for name, config in PRESETS.items():
        assert (config.min_level, config.max_level) == (3 if "lite" in name else 2, 9)
        assert config.activation == ("relu" if "lite" in name else "silu")


def test_batch_norms_follow_the_config(tiny):
    config = dataclasses.replace(tiny, norm_eps=0.002, norm_momentum=0.3)
    norms = [m for m in create_model(config).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(0.002, 0.3)}
    resnet = create_model(dataclasses.replace(config, backbone="resnet18"))
    encoder = {m.eps for m in resnet.encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert encoder == {1e-5}, "pretrained weights expect the epsilon they were trained with"


def test_the_fusion_starts_even_or_in_favour_of_fine_levels_as_wanted(tiny):
    torch.manual_seed(0)
    even = create_model(tiny, max_level=9)
    torch.manual_seed(0)
    tilted = create_model(tiny, max_level=9, fusion_slope=math.log(2))
    levels = len(even.decoder.features)
    torch.testing.assert_close(
        even.fusion.weighted_sum.coefficients(), torch.full((levels,), 1 / levels)
    )
    coefficients = tilted.fusion.weighted_sum.coefficients()
    torch.testing.assert_close(coefficients[:-1], 2 * coefficients[1:])
    # Nothing but the start differs.
    tilted.fusion.load_state_dict(even.fusion.state_dict())
    image = torch.rand(1, 3, 40, 56)
    assert torch.equal(tilted.eval()(image), even.eval()(image))


def test_initialisation_is_fan_out_normal_and_a_small_classifier(tiny):
    model = create_model(dataclasses.replace(tiny, channels=128, num_classes=64))
    depthwise, pointwise = model.head[0][0], model.head[0][1]
    assert depthwise.weight.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.1)
    assert pointwise.weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.1)
    assert model.head[1].weight.std().item() == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channel_counts(tiny, channels):
    for backbone in ("lite", "resnet18"):
        config = dataclasses.replace(tiny, backbone=backbone, in_channels=channels)
        assert create_model(config).eval()(torch.rand(1, channels, 9, 9)).shape == (1, 4, 9, 9)


@pytest.mark.parametrize("backbone", ["convnext_atto", "mobilenetv3_small_050", "vgg11_bn"])
def test_any_convolutional_backbone_at_any_size(tiny, backbone):
    model = create_model(dataclasses.replace(tiny, backbone=backbone)).eval()
    with torch.no_grad():
        for size in [(1, 1), (33, 47), (64, 96)]:
            image = torch.rand(1, 3, *size)
            for spec, x in zip(model.encoder.features, model.encoder(image), strict=True):
                assert x.shape[1:] == (spec.channels, *(-(-n // spec.stride) for n in size))
            assert model(image).shape[-2:] == size


@pytest.mark.parametrize(
    ("backbone", "reason"),
    [
        ("no_such_network", "no_such_network.*cannot build"),
        ("vit_tiny_patch16_224", "strides"),
        ("swin_tiny_patch4_window7_224", "64x96"),
    ],
)
def test_other_backbones_are_refused_by_name(tiny, backbone, reason):
    with pytest.raises(BackboneError, match=backbone) as error:
        create_model(dataclasses.replace(tiny, backbone=backbone))
    assert re.search(reason, str(error.value))


def test_weights_from_a_local_file(tiny, tmp_path):
    import timm

    torch.manual_seed(1)
    weights = timm.create_model("resnet18").state_dict()
    torch.save(weights, tmp_path / "resnet18.pth")
    config = dataclasses.replace(tiny, backbone="resnet18")
    model = create_model(config, pretrained_backbone=tmp_path / "resnet18.pth")
    loaded = model.encoder.backbone.state_dict()
    assert len(loaded) > 50
    assert all(torch.equal(value, weights[key]) for key, value in loaded.items())


def test_missing_weights_are_one_clear_error(tiny, tmp_path, monkeypatch):
    config = dataclasses.replace(tiny, backbone="resnet18")
    with pytest.raises(BackboneError, match=r"no file at .*absent\.pth"):
        create_model(config, pretrained_backbone=tmp_path / "absent.pth")
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(BackboneError, match="state dict of this timm network"):
        create_model(config, pretrained_backbone=tmp_path / "text.pth")
    with pytest.raises(BackboneError, match=r"no public ImageNet weights.*from scratch"):
        create_model(tiny, pretrained_backbone=True)

    def no_network(*_, **__):
        raise OSError("the hub cannot be reached")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", no_network)
    with pytest.raises(BackboneError, match=r"cannot be reached.*HF_HOME.*False"):
        create_model(config, pretrained_backbone=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chanels": 3}, "chanels.*channels"),
        ({"max_level": 10}, r"max_level must be in \[5, 9\], not 10"),
        ({"min_level": 1}, "min_level"),
        ({"decoder": "unet"}, "bifpn, fpn, deeplabv3plus"),
        ({"activation": "gelu"}, "silu, relu"),
        ({"num_classes": 0}, "num_classes must be a whole number from 1"),
        ({"num_classes": 300}, "num_classes must be at most 255"),
        ({"max_level": 7.5}, "max_level must be a whole number"),
        ({"width": float("inf")}, "width must be above 0 and finite"),
        ({"atrous": True}, "only deeplabv3plus"),
        ({"decoder": "deeplabv3plus", "min_level": 4}, "min_level"),
    ],
)
def test_wrong_fields_name_field_value_and_choices(unchecked, changes, message):
    with pytest.raises(ValueError, match=message):
        create_model("eseg_s", **changes)


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"no preset 'eseg_xl'.*eseg_lite_s"):
        create_model("eseg_xl")


def test_a_config_is_enough_for_a_custom_scale():
    model = create_model(ModelConfig(backbone="lite", width=0.3, depth=0.4, channels=24, repeats=2))
    assert model.config.channels == 24
    assert model.stride == 4
