"""Fine-tuning: what is taken from another run's checkpoint, what is not, and what is said."""

import json
from dataclasses import replace

import pytest
import torch
import yaml

from eseg.checkpoint import load_checkpoint, save_checkpoint
from eseg.config import to_plain
from eseg.errors import CheckpointError
from eseg.models import create_model
from eseg.runtime.class_table import ClassTable
from eseg.training import trainer
from eseg.training.initial_weights import load_initial_weights
from eseg.training.run_folder import read_log

OTHER_CLASSES = ClassTable(("road", "sky"), ((1, 2, 3), (4, 5, 6)))


@pytest.fixture
def source(toy_run):
    return toy_run.folder / "best.pt"


def fresh(checkpoint, classes, **changes):
    torch.manual_seed(5)
    return create_model(checkpoint.model, num_classes=len(classes), **changes)


def test_all_but_the_head_is_kept_for_other_classes(source):
    checkpoint = load_checkpoint(source)
    network = fresh(checkpoint, OTHER_CLASSES)
    drawn = {name: value.clone() for name, value in network.state_dict().items()}
    initial = load_initial_weights(network, source, OTHER_CLASSES)
    for name, value in network.state_dict().items():
        expected = drawn if name.startswith("head.") else checkpoint.weights
        assert torch.equal(value, expected[name]), name
    counts = {}
    for name in drawn:
        counts[name.split(".")[0]] = counts.get(name.split(".")[0], 0) + 1
    assert initial.new == {"head": counts.pop("head")}
    assert initial.loaded == counts
    assert initial.loaded.keys() == {"encoder", "decoder", "fusion"}
    assert initial.step == checkpoint.step
    total = sum(counts.values())
    assert str(initial) == (
        f"weights of {source} (step {checkpoint.step}): loaded {total} of "
        f"{total + initial.new['head']} tensors (encoder {counts['encoder']}, decoder "
        f"{counts['decoder']}, fusion {counts['fusion']}); made anew head {initial.new['head']}, "
        "for 2 classes here in place of 3 there"
    )
    assert json.loads(json.dumps(to_plain(initial)))["path"] == str(source)


def test_the_head_is_kept_for_the_same_classes(source):
    checkpoint = load_checkpoint(source)
    network = fresh(checkpoint, checkpoint.classes)
    initial = load_initial_weights(network, source, checkpoint.classes)
    for name, value in network.state_dict().items():
        assert torch.equal(value, checkpoint.weights[name]), name
    assert not initial.new
    assert "anew" not in str(initial)
    assert initial.loaded["head"] > 0


def test_as_many_classes_in_another_order_are_other_classes(source):
    checkpoint = load_checkpoint(source)
    classes = replace(checkpoint.classes, names=checkpoint.classes.names[::-1])
    initial = load_initial_weights(fresh(checkpoint, classes), source, classes)
    assert initial.new.keys() == {"head"}
    assert "other names or another order" in str(initial)


def test_another_architecture_is_named(source):
    checkpoint = load_checkpoint(source)
    network = fresh(checkpoint, OTHER_CLASSES, channels=16, max_level=7, norm_momentum=0.5)
    with pytest.raises(CheckpointError, match="another architecture") as caught:
        load_initial_weights(network, source, OTHER_CLASSES)
    assert f"{source} is of another architecture: max_level 6 (here 7), channels 8 (here 16);" in (
        str(caught.value)
    )


@pytest.mark.parametrize("damage", ["missing", "shape"])
def test_weights_that_do_not_fit_their_own_architecture_are_refused(source, tmp_path, damage):
    checkpoint = load_checkpoint(source)
    name = next(name for name in checkpoint.weights if name.startswith("decoder."))
    weights = dict(checkpoint.weights)
    weights[name] = weights[name][None]
    if damage == "missing":
        del weights[name]
    save_checkpoint(replace(checkpoint, weights=weights), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=rf"a\.pt: .*{name} \(1 in all\)"):
        load_initial_weights(fresh(checkpoint, OTHER_CLASSES), tmp_path / "a.pt", OTHER_CLASSES)


@pytest.fixture
def two_classes(toy_dataset, tmp_path):
    """The toy data with two of its classes."""
    described = yaml.safe_load(toy_dataset.read_text())
    described |= {"root": str(toy_dataset.parent), "ignore_index": [2, 255]}
    described["classes"] = described["classes"][:2]
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(described))
    return tmp_path / "two.yaml"


def test_a_run_fine_tunes_and_can_do_without_the_file_later(
    train, train_until, same_runs, toy_config, two_classes, source, tmp_path, recorder
):
    copy = tmp_path / "copy.pt"
    copy.write_bytes(source.read_bytes())
    changes = {"data.dataset": str(two_classes), "train.steps": 4, "train.checkpoint_every": 3}
    config = toy_config(changes | {"init.checkpoint": str(copy)})

    train(config, "whole")
    assert "made anew head" in recorder.lines[0]
    first = read_log(tmp_path / "whole/log.jsonl")[0]
    assert first["step"] == 0
    assert first["init"]["path"] == str(copy)
    assert first["init"]["new"].keys() == {"head"}

    train_until(0, config, "halves")  # the very first checkpoint has them all already
    copy.unlink()
    train(config, "halves", resume=True)
    same_runs(tmp_path / "whole", tmp_path / "halves")
    with pytest.raises(CheckpointError, match=r"copy\.pt: no such file"):
        train(config, "third")


def test_it_starts_where_the_other_run_ended(train, toy_run, source, tmp_path):
    """With a learning rate of almost nothing, it stays there."""
    config = replace(
        toy_run.config,
        init=replace(toy_run.config.init, checkpoint=source),
        optim=replace(toy_run.config.optim, lr=1e-12),
        train=replace(toy_run.config.train, steps=1),
    )
    result = train(config)
    assert result.best["miou"] == pytest.approx(toy_run.result.best["miou"], abs=0.02)


def test_a_file_that_would_run_code_is_refused(toy_config, source, tmp_path):
    class Payload:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'harm')!r}, 'w')",))

    content = torch.load(source, weights_only=True)
    torch.save(content | {"weights": Payload()}, tmp_path / "hostile.pt")
    config = toy_config({"init.checkpoint": str(tmp_path / "hostile.pt")})
    with pytest.raises(CheckpointError, match=r"hostile\.pt: damaged, or not a checkpoint"):
        trainer.train(config, tmp_path / "run", device="cpu")
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "hostile.pt").rename(tmp_path / "run/last.pt")
    with pytest.raises(CheckpointError, match=r"last\.pt: damaged, or not a checkpoint"):
        trainer.train(toy_config(), tmp_path / "run", device="cpu", resume=True)
    assert not (tmp_path / "harm").exists()
