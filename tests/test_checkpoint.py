"""Files that come back whole, are never half written, and cannot run code."""

import errno
import os
import pickle
import random
import resource
from pathlib import Path

import pytest
import torch

from eseg import checkpoint as checkpoint_module
from eseg.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, weights_digest
from eseg.errors import CheckpointError, OutputError
from eseg.models import create_model
from eseg.runtime.class_table import ClassTable


@pytest.fixture
def model(toy_config):
    return create_model(toy_config().model).eval()


@pytest.fixture
def checkpoint(model):
    return Checkpoint(
        model=model.config,
        classes=ClassTable(("a", "b", "c"), ((1, 2, 3), (4, 5, 6), (255, 0, 9))),
        weights=model.state_dict(),
        step=7,
        run={"train": {"steps": 9}, "list": [1, None, "x"]},
        scores={"miou": 0.5, "iou": [0.5, None]},
        training={"rng": torch.get_rng_state(), "best": None},
    )


@pytest.fixture
def small(checkpoint, tmp_path):
    """A file of a few kilobytes."""
    path = tmp_path / "small.pt"
    weights = {"a": torch.arange(200.0)}
    save_checkpoint(Checkpoint(checkpoint.model, checkpoint.classes, weights, 3), path)
    return path


def test_round_trip(checkpoint, tmp_path):
    save_checkpoint(checkpoint, tmp_path / "a.pt")
    loaded = load_checkpoint(tmp_path / "a.pt")
    for name in ("model", "classes", "step", "run", "scores"):
        assert getattr(loaded, name) == getattr(checkpoint, name), name
    assert loaded.weights.keys() == checkpoint.weights.keys()
    for name, value in checkpoint.weights.items():
        assert torch.equal(loaded.weights[name], value)
        assert loaded.weights[name].dtype == value.dtype
    assert torch.equal(loaded.training["rng"], checkpoint.training["rng"])


def test_it_rebuilds_its_network(checkpoint, model, tmp_path):
    save_checkpoint(checkpoint, tmp_path / "a.pt")
    rebuilt = load_checkpoint(tmp_path / "a.pt").build_model()
    image = torch.rand(2, 3, 33, 47)
    with torch.no_grad():
        assert torch.equal(rebuilt(image), model(image))
    assert not rebuilt.training


def test_weights_of_another_architecture_are_refused(small):
    with pytest.raises(CheckpointError, match="do not fit"):
        load_checkpoint(small).build_model()


def failing_sync(number):
    def fail(_):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failed_write_leaves_the_old_file(small, checkpoint, monkeypatch, number):
    before = small.read_bytes()
    monkeypatch.setattr(os, "fsync", failing_sync(number))
    with pytest.raises(OutputError, match=rf"small\.pt: cannot be written .*{os.strerror(number)}"):
        save_checkpoint(checkpoint, small)
    assert small.read_bytes() == before
    assert list(small.parent.iterdir()) == [small]


def test_a_disk_that_fills_up_within_the_file_leaves_the_old_one(small, checkpoint):
    before = small.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"small\.pt: .*File too large.*make room"):
            save_checkpoint(checkpoint, small, previous=small.with_name("previous.pt"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert small.read_bytes() == before
    assert list(small.parent.iterdir()) == [small]


def test_an_interrupt_leaves_the_old_file(small, checkpoint, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    before = small.read_bytes()
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(checkpoint, small)
    assert small.read_bytes() == before
    assert list(small.parent.iterdir()) == [small]


def test_the_file_is_on_the_disk_before_it_takes_the_name(small, checkpoint, monkeypatch):
    before, synced = small.read_bytes(), []

    def sync(descriptor):
        synced.append((os.fstat(descriptor).st_size, small.read_bytes() == before))

    monkeypatch.setattr(os, "fsync", sync)
    save_checkpoint(checkpoint, small)
    assert synced[0] == (small.stat().st_size, True)


def test_the_one_before_it_is_kept_if_wanted(small, checkpoint):
    before, previous = small.read_bytes(), small.with_name("previous.pt")
    save_checkpoint(checkpoint, small, previous=previous)
    assert previous.read_bytes() == before
    assert load_checkpoint(small).step == 7


def test_others_may_read_it_as_the_umask_says(checkpoint, tmp_path):
    (tmp_path / "plain").touch()
    save_checkpoint(checkpoint, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_that_is_not_there(checkpoint, tmp_path):
    with pytest.raises(OutputError, match=r"gone/a\.pt: cannot be written"):
        save_checkpoint(checkpoint, tmp_path / "gone" / "a.pt")


def test_a_folder_that_is_a_file(checkpoint, tmp_path):
    """Fails for root too, who may write where others may not."""
    (tmp_path / "taken").touch()
    with pytest.raises(OutputError, match=r"Not a directory"):
        save_checkpoint(checkpoint, tmp_path / "taken" / "a.pt")


def test_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pt: no such file"):
        load_checkpoint(tmp_path / "none.pt")


def test_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"is a folder; name a file, such as the best\.pt"):
        load_checkpoint(tmp_path)
    (tmp_path / "best.pt").touch()
    with pytest.raises(CheckpointError, match=rf"is a folder; use {tmp_path}/best.pt"):
        load_checkpoint(tmp_path)


def test_files_that_are_none(tmp_path):
    path = tmp_path / "x.pt"
    contents = [b"", b"\x00", b"hello\n", b"weights: yes\n" * 50, b"PK\x03\x04", b"\x89PNG\r\n"]
    contents += [random.Random(seed).randbytes(300) for seed in range(40)]
    contents += [pickle.dumps(value) for value in ({"a": 1}, [1, 2], "text", None)]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"x\.pt: "):
            load_checkpoint(path)


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1], torch.zeros(3), {"format": "other"}])
def test_torch_files_of_another_origin(tmp_path, content):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"x\.pt: not a checkpoint that eseg wrote"):
        load_checkpoint(tmp_path / "x.pt")


def test_a_truncated_file(small):
    content = small.read_bytes()
    for length in range(0, len(content), len(content) // 40):
        small.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"small\.pt: damaged"):
            load_checkpoint(small)


def test_a_flipped_bit_is_found_or_harmless(small):
    """Padding and time stamps may change; not one weight, and never another kind of error."""
    content, whole = small.read_bytes(), load_checkpoint(small)
    chance = random.Random(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(content)
        damaged[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        small.write_bytes(damaged)
        try:
            loaded = load_checkpoint(small)
        except CheckpointError:
            refused += 1
        else:
            assert torch.equal(loaded.weights["a"], whole.weights["a"])
            assert loaded.step == whole.step
    assert refused > 50


def test_a_flipped_bit_of_a_weight_is_found(small):
    content = bytearray(small.read_bytes())
    place = content.index(torch.arange(100.0, 110.0).numpy().tobytes())
    content[place] ^= 1
    small.write_bytes(content)
    assert torch.load(small, weights_only=True)["weights"]["a"][100] != 100  # torch lets it pass
    with pytest.raises(CheckpointError, match=r"small\.pt: damaged"):
        load_checkpoint(small)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", "new"),
        ("model", {"backbone": "lite", "colour": "red"}),
        ("model", {"channels": 0}),
        ("model", 3),
        ("classes", {"names": ["a", "a"], "colours": [[0, 0, 0], [0, 0, 0]]}),
        ("classes", {"names": ["a"], "colours": [[0, 0]]}),
        ("weights", None),
        ("weights", 5),
        ("run", 3),
        ("run", {"data": 3}),
        ("scores", "good"),
        ("step", "last"),
        ("training", [1]),
        ("schema", 0),
    ],
)
def test_content_that_makes_no_sense(small, key, value):
    content = torch.load(small, weights_only=True)
    if value is None:
        del content[key]
    else:
        content[key] = value
    torch.save(content, small)
    with pytest.raises(CheckpointError, match=r"small\.pt: damaged"):
        load_checkpoint(small)


def test_a_newer_layout_says_so(checkpoint, tmp_path, monkeypatch):
    with monkeypatch.context() as future:
        future.setattr(checkpoint_module, "SCHEMA", 2)
        save_checkpoint(checkpoint, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a\.pt: written by a newer eseg.*update"):
        load_checkpoint(tmp_path / "a.pt")


class Payload:
    """What a hostile pickle does: anything."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_nothing_in_a_file_is_executed(small, tmp_path):
    content = torch.load(small, weights_only=True)
    torch.save(content | {"weights": Payload(tmp_path / "harm")}, small)
    with pytest.raises(CheckpointError):
        load_checkpoint(small)
    plain = tmp_path / "plain.pt"
    plain.write_bytes(pickle.dumps(Payload(tmp_path / "harm")))
    with pytest.raises(CheckpointError):
        load_checkpoint(plain)
    assert not (tmp_path / "harm").exists()

    torch.load(small, weights_only=False)  # the trap itself works
    assert (tmp_path / "harm").exists()


def test_the_digest_is_of_every_value_and_name(checkpoint):
    weights = dict(checkpoint.weights)
    digest = weights_digest(weights)
    assert weights_digest(dict(reversed(weights.items()))) == digest
    name, tensor = next((n, t) for n, t in weights.items() if t.is_floating_point())
    assert weights_digest({n: t.contiguous() for n, t in weights.items()}) == digest
    changed = tensor.contiguous().clone()
    changed.view(-1)[-1] += 1
    assert weights_digest(weights | {name: changed}) != digest
    assert weights_digest({f"{n}_": t for n, t in weights.items()}) != digest
    assert weights_digest(weights | {name: tensor.double()}) != digest
