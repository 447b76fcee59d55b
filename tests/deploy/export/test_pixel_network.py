import pytest
import torch
from torch import nn

from eseg.deploy.export.pixel_network import PixelNetwork
from eseg.engines.upsampling_torch import upsample_labels

pytestmark = pytest.mark.usefixtures("unchecked")

SIZES = [(1, 1), (33, 47), (64, 96)]


def draw(height, width):
    generator = torch.Generator().manual_seed(height)
    return torch.randint(0, 256, (1, height, width, 3), dtype=torch.uint8, generator=generator)


def as_floats(pixels):
    return pixels.permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("normalise", ["planes", "pixels"])
@pytest.mark.parametrize(
    ("backbone", "absorbed"),
    # ConvNeXt takes no odd sizes: what its first convolution reads is a padded copy.
    [("lite", True), ("test_efficientnet", True), ("test_resnet", True), ("test_convnext", False)],
)
@torch.no_grad()
def test_gives_the_network_s_own_logits(small, backbone, absorbed, normalise):
    model = small(backbone=backbone)
    network = PixelNetwork(model, normalise=normalise)
    assert (network.factor is None) == absorbed
    for size in SIZES:
        pixels = draw(*size)
        expected = model.logits(as_floats(pixels))
        assert (network(pixels) - expected).abs().max() <= 1e-5 * max(1, expected.abs().max())


@torch.no_grad()
def test_labels_are_those_of_the_labels_stage(small):
    model = small()
    network = PixelNetwork(model, outputs="labels")
    for size in SIZES:
        pixels = draw(*size)
        labels = network(pixels)
        assert labels.dtype == torch.uint8
        expected, _ = upsample_labels(model.logits(as_floats(pixels)), size)
        assert labels.shape == expected.shape
        assert (labels != expected).float().mean() <= 1e-3


@torch.no_grad()
def test_half_precision_keeps_the_logits_in_single(small):
    model = small()
    network = PixelNetwork(model, half=True)
    assert {p.dtype for p in network.parameters()} == {torch.float16}
    pixels = draw(33, 47)
    logits, expected = network(pixels), model.logits(as_floats(pixels))
    assert logits.dtype == torch.float32
    assert 0 < (logits - expected).abs().max() / expected.abs().max() < 2e-2


@torch.no_grad()
def test_the_factor_stays_where_a_second_part_reads_the_image(small):
    model = small()
    stem = model.encoder.stem

    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = stem

        def forward(self, image):
            return self.stem(image) + image[:, :1, ::2, ::2]

    model.encoder.stem = Skip()
    network = PixelNetwork(model)
    assert network.factor is not None
    pixels = draw(64, 96)
    torch.testing.assert_close(network(pixels), model.logits(as_floats(pixels)))


def test_the_network_given_stays_as_it_was(small):
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    PixelNetwork(model, half=True)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
