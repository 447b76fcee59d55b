"""Small networks as they are exported, and the finished run that they come from."""

import onnx
import pytest
import torch

from eseg.checkpoint import load_checkpoint
from eseg.models import ModelConfig, create_model
from eseg.runtime.network_info import KEY

SMALL = ModelConfig(
    backbone="lite",
    width=0.2,
    depth=0.3,
    num_classes=4,
    min_level=3,
    max_level=6,
    channels=8,
    repeats=1,
    activation="relu",
)


@pytest.fixture
def small():
    """Builds a network of the family's wiring that looks trained; fields can be changed."""

    def build(**changes):
        torch.manual_seed(0)
        model = create_model(SMALL, **changes)
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                if "running" in name or "weighted_sum" in name:
                    tensor.uniform_(0.5, 2)
        model.head[-1].weight.data.normal_()
        return model.eval()

    return build


@pytest.fixture(scope="session")
def checkpoint(toy_run):
    """The checkpoint of a network that has learnt the toy data."""
    return load_checkpoint(toy_run.folder / "best.pt")


@pytest.fixture(scope="session")
def described():
    """Copies an ONNX file, with another description in it."""

    def copy(path, info, target):
        model = onnx.load(path)
        onnx.helper.set_model_props(model, {KEY: info.to_json()})
        onnx.save(model, target)
        return target

    return copy
