"""Frozen encoders, other losses and optimisers in whole runs: training, average, resuming, DDP."""

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from eseg.checkpoint import load_checkpoint
from eseg.models import create_model
from eseg.training.distributed import local_statistics
from eseg.training.state import TrainingState

FROZEN = {"optim.frozen_stages": 3, "optim.frozen_norms": True}
ADAMW = {
    "optim": {
        "name": "adamw",
        "lr": 1e-3,
        "schedule": "poly",
        "warmup_steps": 2,
        "encoder_lr_factor": 0.1,
        "frozen_stages": 2,
    },
    "loss": {"terms": {"cross_entropy": 1.0, "dice": 0.5, "lovasz": 0.5}, "label_smoothing": 0.1},
}


def frozen_names(network):
    """Frozen weights, and the buffers of frozen batch norms."""
    names = {name for name, p in network.named_parameters() if not p.requires_grad}
    return names | {
        name
        for name, _ in network.named_buffers()
        if name.rpartition(".")[0] in network.frozen_norms
    }


def start_weights(config):
    """The weights that a run of this config starts from, and the names of the frozen ones."""
    torch.manual_seed(config.seed)
    network = create_model(config.model)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    TrainingState.start(network, config, None)
    return before, frozen_names(network)


@pytest.mark.parametrize("changes", [FROZEN, ADAMW])
def test_what_is_frozen_stays_in_weights_and_average_and_all_else_moves(train, toy_config, changes):
    config = toy_config({"train.steps": 3, **changes})
    result = train(config)
    before, frozen = start_weights(config)
    last = load_checkpoint(result.checkpoint.with_name("last.pt"))
    assert frozen
    for weights in (last.training["network"], last.weights):
        kept = {name for name, value in weights.items() if torch.equal(value, before[name])}
        assert frozen <= kept
        assert all(name.startswith("encoder.") or "fusion" in name for name in kept)
        assert len(kept) < len(weights)


@pytest.mark.parametrize("changes", [FROZEN, ADAMW])
def test_resumed_equals_uninterrupted(train, train_until, same_runs, toy_config, tmp_path, changes):
    config = toy_config({"train.steps": 5, "train.checkpoint_every": 2, **changes})
    train(config, "whole")
    train_until(3, config, "parts")
    train(config, "parts", resume=True)
    same_runs(tmp_path / "whole", tmp_path / "parts")


def test_distributed_training_leaves_the_frozen_part_alone(toy_config):
    config = toy_config(FROZEN)
    network = create_model(config.model)
    TrainingState.start(network, config, None)
    frozen = [p for p in network.parameters() if not p.requires_grad]
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        shared = DistributedDataParallel(network).train()
        shared(torch.rand(2, 3, 40, 56)).sum().backward()
    finally:
        dist.destroy_process_group()
    assert frozen
    assert all(p.grad is None for p in frozen)
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)
    assert not any(network.get_submodule(name).training for name in network.frozen_norms)
    averaged = {statistic.data_ptr() for statistic in local_statistics(network)}
    buffers = dict(network.named_buffers())
    kept = {f"{name}.running_mean" for name in network.frozen_norms}
    assert averaged
    assert not averaged & {buffers[name].data_ptr() for name in kept}
