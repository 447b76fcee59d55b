"""Crops and shards that depend on nothing they should not; errors that come through whole."""

import itertools
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from eseg.data import loaders
from eseg.data.folder import ClassConfig, Folder, FolderConfig
from eseg.data.listing import SplitConfig
from eseg.data.loaders import LoaderConfig, automatic_workers, make_eval_loader, make_train_loader
from eseg.data.samples import PseudoLabelled
from eseg.data.transforms import AugmentConfig
from eseg.errors import DataError
from eseg.runtime.class_table import ClassTable, Sample

IN_PROCESS = LoaderConfig(workers=0)
TWO_WORKERS = LoaderConfig(workers=2)
CROP = AugmentConfig((16, 24))
LENGTH = 7


class Flat:
    """Images of one colour, the colour being the index."""

    classes = ClassTable(("a", "b"), ((0, 0, 0), (255, 255, 255)))
    absent_counts = False

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        image = np.full((20, 30, 3), index, np.uint8)
        image.flags.writeable = False  # As memory maps and cached arrays are.
        mask = np.full((20, 30), index % 2, np.uint8)
        mask.flags.writeable = False
        return Sample(image, mask, f"flat/{index}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Noise on the disk: worker processes must be able to import the data set's class."""
    root = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    for index in range(LENGTH):
        height, width = 20 + index, 31 - index
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(image).save(root / f"{index}.png")
        mask = rng.integers(0, 2, (height, width), dtype=np.uint8)
        Image.fromarray(mask).save(root / f"{index}_mask.png")
    return noise_folder(root)


def noise_folder(root: Path) -> Folder:
    classes = (ClassConfig("a", (0, 0, 0)), ClassConfig("b", (255, 255, 255)))
    splits = {"train": SplitConfig(images=("?.png",), masks="{stem}_mask.png")}
    return Folder(FolderConfig("noise", root, splits, classes), "train")


def batches(count, dataset, **options):
    options = {"batch_size": 3, "seed": 1, "config": IN_PROCESS} | options
    return list(itertools.islice(make_train_loader(dataset, CROP, **options), count))


def assert_equal_batches(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.mask, other.mask)


def test_batches_are_8_bit_crops(folder):
    (batch,) = batches(1, folder)
    assert batch.image.shape == (3, 3, 16, 24)
    assert batch.mask.shape == (3, 16, 24)
    assert batch.image.dtype == batch.mask.dtype == torch.uint8


def test_a_resumed_run_goes_on_exactly(folder):
    straight = batches(8, folder)
    assert_equal_batches(batches(3, folder, start_step=5), straight[5:])


def test_workers_do_not_change_the_batches(folder):
    expected = batches(8, folder)
    assert_equal_batches(batches(8, folder, config=TWO_WORKERS), expected)
    assert not torch.equal(batches(1, folder, seed=2)[0].image, expected[0].image)


@pytest.mark.parametrize("config", [IN_PROCESS, TWO_WORKERS])
def test_the_global_random_state_is_left_alone(folder, config):
    before = torch.get_rng_state()
    batches(2, folder, config=config)
    list(make_eval_loader(folder, config=config))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("world", [1, 2, 3, 9])
def test_evaluation_shards_hold_every_image_once(world):
    names = []
    for rank in range(world):
        loader = make_eval_loader(Flat(LENGTH), rank=rank, world=world, config=IN_PROCESS)
        share = [item.name for item in loader]
        assert len(share) == len(loader)
        names += share
    assert sorted(names) == [f"flat/{index}" for index in range(LENGTH)]


def test_evaluation_gives_whole_images_in_order(folder):
    loader = make_eval_loader(folder, config=TWO_WORKERS)
    for _ in range(2):
        items = list(loader)
        assert [item.name for item in items] == list(folder.names)
        for item, sample in zip(items, folder, strict=True):
            np.testing.assert_array_equal(item.image.numpy(), sample.image)
            np.testing.assert_array_equal(item.mask.numpy(), sample.mask)


@pytest.mark.parametrize("config", [IN_PROCESS, TWO_WORKERS])
def test_a_broken_file_is_one_clear_error(tmp_path, folder, config):
    for path in (*folder.image_paths, *folder.mask_paths):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    broken = tmp_path / "5_mask.png"
    broken.write_bytes(broken.read_bytes()[:60])
    dataset = noise_folder(tmp_path)
    with pytest.raises(DataError) as direct:
        dataset[5]

    with pytest.raises(DataError) as training:
        batches(5, dataset, config=config)
    items = iter(make_eval_loader(dataset, config=config))
    assert [next(items).name for _ in range(5)] == list(dataset.names[:5])
    with pytest.raises(DataError) as evaluation:
        next(items)
    assert str(training.value) == str(evaluation.value) == str(direct.value)
    assert str(broken) in str(direct.value)
    assert "\n" not in str(direct.value)


@pytest.mark.parametrize(("fraction", "count"), [(0.5, 3), (1 / 3, 2)])
def test_every_batch_has_its_share_of_pseudo_labels(folder, fraction, count):
    pseudo = PseudoLabelled(Flat(90), fraction)
    mixed = batches(12, folder, batch_size=6, pseudo=pseudo)
    for batch in mixed:
        # Flat images hold their index and padding, noise holds nearly all values.
        values = [len(image.unique()) for image in batch.image]
        assert [value > 10 for value in values] == [True] * (6 - count) + [False] * count
    alone = batches(12, folder, batch_size=6 - count)
    for batch, expected in zip(mixed, alone, strict=True):
        assert torch.equal(batch.image[: 6 - count], expected.image)
        assert torch.equal(batch.mask[: 6 - count], expected.mask)


def test_mixed_batches_resume_and_do_not_depend_on_workers(folder):
    pseudo = PseudoLabelled(folder, 0.25)
    options = {"batch_size": 4, "pseudo": pseudo}
    straight = batches(8, folder, **options)
    assert_equal_batches(batches(3, folder, start_step=5, **options), straight[5:])
    assert_equal_batches(batches(8, folder, config=TWO_WORKERS, **options), straight)
    # One data set as both sources: same images, other crops.
    assert not torch.equal(straight[0].image[3], straight[0].image[0])


def test_processes_share_mixed_batches(folder):
    pseudo = PseudoLabelled(Flat(9), 0.5)
    for whole, *parts in zip(
        batches(5, folder, batch_size=8, pseudo=pseudo),
        *(batches(5, folder, batch_size=4, pseudo=pseudo, rank=rank, world=2) for rank in (0, 1)),
        strict=True,
    ):
        labelled = torch.cat([part.image[:2] for part in parts])
        second = torch.cat([part.image[2:] for part in parts])
        assert torch.equal(torch.cat([labelled, second]), whole.image)


def test_a_broken_pseudo_label_is_a_clear_error_too(tmp_path, folder):
    for path in (*folder.image_paths, *folder.mask_paths):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "2_mask.png").write_bytes(b"")
    pseudo = PseudoLabelled(noise_folder(tmp_path), 0.5)
    with pytest.raises(DataError, match=r"2_mask\.png: the file is empty"):
        batches(10, folder, batch_size=2, pseudo=pseudo)
    with pytest.raises(DataError, match="not a whole number of images"):
        batches(1, folder, batch_size=3, pseudo=pseudo)
    with pytest.raises(DataError, match="training split is empty"):
        batches(1, folder, batch_size=2, pseudo=PseudoLabelled(Flat(0), 0.5))


TRAINER = """
import multiprocessing, os, signal
import numpy as np
from eseg.data.dataset import Sample
from eseg.data.loaders import LoaderConfig, make_eval_loader

class Telling:
    def __len__(self):
        return 9

    def __getitem__(self, index):
        ignores = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        mask = np.zeros((1, 1), np.uint8)
        return Sample(np.zeros((1, 1, 3), np.uint8), mask, f"{os.getpid()} {ignores}")

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    items = iter(make_eval_loader(Telling(), config=LoaderConfig(workers=1, prefetch=1)))
    print(next(items).name, signal.getsignal(signal.SIGINT) == signal.SIG_IGN, flush=True)
    input()
"""


def test_a_worker_ignores_ctrl_c_and_ends_with_a_killed_trainer(tmp_path):
    (tmp_path / "trainer.py").write_text(TRAINER)
    command = [sys.executable, str(tmp_path / "trainer.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as trainer:
        process, *ignores = trainer.stdout.readline().decode().split()
        assert is_running(int(process))
        assert ignores == ["True", "False"], "the worker, not the trainer"
        trainer.kill()
    deadline = time.monotonic() + 20
    while is_running(int(process)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(int(process))


def is_running(process):
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"  # ended, and nobody has asked how


def test_empty_splits_and_bad_settings():
    with pytest.raises(DataError, match="training split is empty"):
        batches(1, Flat(0))
    with pytest.raises(ValueError, match="workers: 0 or more, or null for automatic, not -1"):
        LoaderConfig(workers=-1)
    with pytest.raises(ValueError, match="prefetch: at least 1 batch, not 0"):
        LoaderConfig(prefetch=0)
    with pytest.raises(TypeError):
        len(make_train_loader(Flat(3), CROP, batch_size=1, seed=0, config=IN_PROCESS))


@pytest.mark.parametrize(
    ("cores", "processes", "workers"), [(1, 1, 1), (2, 1, 1), (8, 1, 7), (64, 8, 7), (64, 1, 16)]
)
def test_automatic_workers(monkeypatch, cores, processes, workers):
    monkeypatch.setattr(loaders, "usable_cores", lambda: cores)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert automatic_workers() == workers
