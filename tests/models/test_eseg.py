import dataclasses

import pytest
import torch
from torch import nn

import reference
from eseg.models import ESeg, create_model
from eseg.models.graph import MAX_SIDE, export_graph

SMALL = "mobilenetv3_small_050"  # like EfficientNet: squeeze-and-excitation, timm's batch norm
SIZES = [(1, 1), (2, 3), (33, 47), (360, 480), (520, 520)]


@pytest.mark.parametrize("size", [(33, 47), (96, 160)])
@pytest.mark.parametrize("levels", [(3, 9), (2, 5), (4, 7)])
def test_outputs_equal_the_reference(tiny, randomise, levels, size):
    config = dataclasses.replace(tiny, min_level=levels[0], max_level=levels[1])
    torch.manual_seed(sum(size))
    model = randomise(create_model(config)).double().eval()
    image = torch.rand(2, 3, *size, dtype=torch.float64)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    expected = reference.eseg(image, model.state_dict(), config, mean, std)

    assert expected.std() > 1e-4
    # The classifier starts small: compare relative to what it puts out. The normalisation's
    # constants are float32, hence not closer.
    error = (model(image) - expected).abs().max() / expected.abs().max()
    assert error < 1e-5


@pytest.mark.parametrize("size", [*SIZES, (1024, 2048)])
def test_logits_have_exactly_the_size_of_the_image(tiny, size):
    model = create_model(tiny).eval()
    with torch.no_grad():
        image = torch.rand(1, 3, *size)
        assert model(image).shape == (1, 4, *size)
        rows, columns = (-(-side // model.stride) for side in size)
        assert model.logits(image).shape == (1, 4, rows, columns)


@pytest.mark.parametrize("backbone", ["lite", SMALL])
@pytest.mark.parametrize("size", SIZES[:3])
def test_it_trains_at_batch_one_down_to_one_pixel(tiny, backbone, size):
    model = create_model(dataclasses.replace(tiny, backbone=backbone, num_classes=3))
    logits = model(torch.rand(1, 3, *size))
    assert logits.shape == (1, 3, *size)
    logits.square().mean().backward()
    gradients = [p.grad for p in model.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)


def test_every_output_depends_on_every_input(tiny, randomise):
    """P9 sees the whole image, so a change in one corner reaches the opposite one."""
    model = randomise(create_model(tiny)).double().eval()
    image = torch.rand(1, 3, 256, 384, dtype=torch.float64, requires_grad=True)
    model(image)[0, :, -1, -1].sum().backward()
    assert image.grad is not None
    cells = image.grad.abs().amax(1)[0].unfold(0, 32, 32).unfold(1, 32, 32).amax((-1, -2))
    assert (cells > 0).all()

    near = create_model(dataclasses.replace(tiny, max_level=5)).double().eval()
    image = torch.rand(1, 3, 256, 768, dtype=torch.float64, requires_grad=True)
    near(image)[0, :, -1, -1].sum().backward()
    assert image.grad[..., :32].abs().max() == 0, "P3-P5 do not see that far"


def test_it_normalises_the_image_itself(tiny):
    model = create_model(tiny).eval()
    seen = []
    model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        model(image)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    torch.testing.assert_close(seen[0], (image - mean) / std, rtol=1e-5, atol=1e-5)
    assert not any("normalize" in key for key in model.state_dict())


@pytest.mark.parametrize(("backbone", "training"), [("lite", True), (SMALL, True), (SMALL, False)])
def test_compiles_to_one_graph(tiny, unchecked, backbone, training):
    config = dataclasses.replace(tiny, backbone=backbone, repeats=1)
    model = create_model(config).train(training)
    image = torch.rand(2, 3, 40, 56)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    if training:
        compiled(image).square().mean().backward()
        assert all(p.grad is not None for p in model.parameters())
    else:
        with torch.no_grad():
            torch.testing.assert_close(compiled(image), model(image))


@pytest.mark.parametrize("backbone", ["lite", "tf_mobilenetv3_small_075"])
def test_one_exported_graph_serves_every_size(tiny, randomise, unchecked, backbone):
    model = randomise(create_model(dataclasses.replace(tiny, backbone=backbone))).eval()
    exported = export_graph(model).module()
    with torch.no_grad():
        for size in [(1, 1), (33, 47), (360, 480), (1024, 2048)]:
            image = torch.rand(1, 3, *size)
            torch.testing.assert_close(exported(image), model(image))
        with pytest.raises(AssertionError, match=str(MAX_SIDE)):
            exported(torch.rand(1, 3, 1, MAX_SIDE + 1))


def test_sync_batch_norm_keeps_the_activations(tiny, randomise):
    from timm.layers.norm_act import convert_sync_batchnorm

    config = dataclasses.replace(tiny, backbone=SMALL)
    model = randomise(create_model(config)).eval()
    image = torch.rand(1, 3, 33, 47)
    with torch.no_grad():
        before = model(image)
        synced = convert_sync_batchnorm(model).eval()
        assert any(isinstance(m, nn.SyncBatchNorm) for m in synced.modules())
        torch.testing.assert_close(synced(image), before)


def test_a_state_dict_and_a_config_rebuild_the_network(tiny, randomise):
    model = randomise(create_model(tiny)).eval()
    twin = create_model(model.config).eval()
    twin.load_state_dict(model.state_dict())
    assert isinstance(twin, ESeg)
    image = torch.rand(1, 3, 20, 30)
    with torch.no_grad():
        assert torch.equal(twin(image), model(image))
