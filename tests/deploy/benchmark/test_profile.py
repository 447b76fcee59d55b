import pytest

from eseg.deploy.benchmark.profile import PAPER, profile, profile_presets
from eseg.models import PRESETS, ModelConfig


def test_counts_what_a_layer_by_layer_sum_gives():
    """A 1x1 image leaves one multiply-accumulate per weight: only biases and norms have none."""
    config = ModelConfig(backbone="lite", width=0.2, depth=0.3, min_level=3, channels=8, repeats=1)
    counted = profile(config, (1, 1))
    from eseg.models import create_model

    model = create_model(config)
    weights = sum(p.numel() for p in model.parameters() if p.ndim > 1)
    assert counted.parameters == sum(p.numel() for p in model.parameters())
    assert counted.macs == weights


def test_every_preset_stands_beside_the_paper():
    assert list(PAPER) == list(PRESETS)
    profiles = profile_presets((64, 64))
    for name, printed in PAPER.items():
        if printed.parameters is not None:
            ours = round(profiles[name].parameters / 1e6, 1)
            assert ours == pytest.approx(printed.parameters / 1e6)
