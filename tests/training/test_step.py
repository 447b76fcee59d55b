"""One step at a time: parts of a batch, clipping, overflow, and losses that are no numbers."""

import math
from itertools import cycle

import pytest
import torch

from eseg.data.samples import TrainBatch
from eseg.errors import TrainingError
from eseg.models import create_model
from eseg.training.distributed import Processes
from eseg.training.state import TrainingState
from eseg.training.step import Stepper, images_per_part

ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture
def start(toy_config):
    """A stepper on a fresh network whose images do not meet in batch norms."""

    def build(changes=None, dtype=None):
        config = toy_config({"optim.warmup_steps": 0} | (changes or {}))
        torch.manual_seed(0)
        network = create_model(config.model).eval()
        state = TrainingState.start(network, config, dtype)
        return Stepper(state, network, config, ALONE, dtype)

    return build


def batch(images=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (images, 3, 32, 40), generator=generator, dtype=torch.uint8)
    mask = torch.randint(0, 3, (images, 32, 40), generator=generator, dtype=torch.uint8)
    return TrainBatch(image, mask)


def parts(whole, count):
    return zip(*(tensor.chunk(count) for tensor in whole), strict=True)


def weights(stepper):
    parameters = stepper.state.network.parameters()
    return torch.cat([p.detach().flatten() for p in parameters]).clone()


def test_plain_step_is_gradient_descent(start):
    stepper = start({"optim.momentum": 0.0, "optim.weight_decay": 0.0})
    before = weights(stepper)
    loss = stepper._loss(batch())
    gradients = torch.autograd.grad(loss, list(stepper.state.network.parameters()))
    value, lr = stepper.step(iter([batch()]))
    assert value == loss.item()
    assert lr == 0.4
    change = torch.cat([g.flatten() for g in gradients]) * lr
    torch.testing.assert_close(weights(stepper), before - change, rtol=1e-5, atol=1e-7)
    assert stepper.state.step == stepper.state.average.updates == 1
    assert all(p.grad is None for p in stepper.state.network.parameters())


@pytest.mark.parametrize("count", [2, 4])
def test_parts_make_the_step_of_the_whole(start, count):
    whole, split = start(), start({"train.accumulate": count})
    for seed in (0, 1):
        expected = whole.step(iter([batch(seed=seed)]))
        parted = split.step(TrainBatch(*part) for part in parts(batch(seed=seed), count))
        assert parted == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(weights(split), weights(whole), rtol=1e-5, atol=1e-6)


def test_each_step_takes_as_many_batches_as_it_has_parts(start):
    stepper, batches = start({"train.accumulate": 3, "train.batch_size": 6}), iter([batch()] * 7)
    stepper.step(batches)
    stepper.step(batches)
    assert len(list(batches)) == 1


@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_clipping_bounds_the_step(start, dtype):
    plain = {"optim.momentum": 0.0, "optim.weight_decay": 0.0}
    stepper = start(plain | {"optim.clip_norm": 1e-2}, dtype)
    before = weights(stepper)
    _, lr = stepper.step(iter([batch()]))
    assert (weights(stepper) - before).norm().item() == pytest.approx(1e-2 * lr, rel=1e-3)


def test_overflow_under_fp16_is_no_failure(start):
    stepper = start(dtype=torch.float16)
    stepper.state.scaler.load_state_dict(stepper.state.scaler.state_dict() | {"scale": 2.0**40})
    before = weights(stepper)
    loss, _ = stepper.step(iter([batch()]))
    assert math.isfinite(loss)
    assert torch.equal(weights(stepper), before)
    assert stepper.state.scaler.get_scale() == 2.0**39
    assert stepper.state.step == 1
    for _ in range(60):  # it finds its factor
        stepper.step(iter([batch()]))
        if not torch.equal(weights(stepper), before):
            break
    assert torch.isfinite(weights(stepper)).all()
    assert not torch.equal(weights(stepper), before)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_stops_before_the_step(start, monkeypatch, value):
    stepper = start({"train.accumulate": 2})
    before = weights(stepper)
    factors = iter([1.0, value])  # the second part is the broken one
    true_loss = stepper.loss
    monkeypatch.setattr(stepper, "loss", lambda *given: true_loss(*given) * next(factors))
    with pytest.raises(
        TrainingError, match=rf"{value} at step 1 \(learning rate 0\.4\).*optim\.lr"
    ):
        stepper.step(cycle([batch()]))
    assert torch.equal(weights(stepper), before)
    assert all(p.grad is None for p in stepper.state.network.parameters())
    assert stepper.state.step == stepper.state.average.updates == 0


def test_poisoned_weights_are_noticed(start):
    stepper = start()
    with torch.no_grad():
        next(stepper.state.network.head.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="became nan"):
        stepper.step(iter([batch()]))


def test_compiled_it_trains_through_what_torch_compile_gives(start, monkeypatch):
    """The compiler itself is tested with the models; here it is a stand-in that counts."""
    calls = []

    def compile_(model):
        def run(image, **how):
            logits = model(image, **how)
            calls.append((image.shape, logits.shape))
            return logits

        return run

    monkeypatch.setattr(torch, "compile", compile_)
    compiled, eager = start({"train.compile": True}), start()
    for stepper in (compiled, eager):
        stepper.step(iter([batch()]))
    assert calls == [((4, 3, 32, 40), (4, 3, 4, 5))]  # upsampling is the loss's business
    assert torch.equal(weights(compiled), weights(eager))


def test_class_weights_count(start):
    plain, weighted = start(), start({"loss.class_weights": [1.0, 5.0, 0.2]})
    assert plain.step(iter([batch()]))[0] != weighted.step(iter([batch()]))[0]


@pytest.mark.parametrize(
    ("size", "accumulate", "world", "part"),
    [
        (16, 1, 1, 16),
        (16, 2, 4, 2),
        (6, 3, 2, 1),
        (6, 4, 1, None),
        (6, 1, 4, None),
        (2, 2, 2, None),
    ],
)
def test_sharing_out_a_batch(toy_config, size, accumulate, world, part):
    config = toy_config({"train.batch_size": size, "train.accumulate": accumulate})
    if part is not None:
        assert images_per_part(config, world) == part
        return
    with pytest.raises(TrainingError, match=rf"{size} .* by {world} processes in {accumulate}"):
        images_per_part(config, world)
