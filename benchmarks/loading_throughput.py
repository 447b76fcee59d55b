"""Images per second of the train loader alone, on photographs of 1024x2048 pixels.

    python benchmarks/loading_throughput.py

Makes the pictures first: smooth content with edges and so much noise that each PNG has about
2.5 MB, as those of Cityscapes have, and masks of 8-bit ids. All files were just written, so they
come from memory and not from the disk. With the figures of `training_throughput.py` at hand, the
rows of the same crop size say how many times faster than the training of ESeg-Lite-S the loader is.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from rich.console import Console
from rich.table import Table

from eseg.config import load_dataset
from eseg.data.folder import Folder
from eseg.data.loaders import LoaderConfig, make_train_loader
from eseg.data.reading import read_image
from eseg.data.transforms import AugmentConfig, augment
from eseg.deploy.benchmark.environment import describe_environment

OUTPUT = Path("benchmarks/results/loading_throughput.json")
TRAINING = Path("benchmarks/results/training_throughput.json")
SIZE = (1024, 2048)
BYTES = (2_400_000, 2_600_000)
CLASSES = 19
CROPS = ((256, 512), (512, 1024))
BATCH_SIZE = 8
TARGET = 1.5
"""The loader should be so many times faster than training, or training waits for it."""


def smooth_field(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Random hills in about [-1, 1], `cells` of them from top to bottom; float32 of `SIZE`."""
    coarse = rng.uniform(-1, 1, (cells, 2 * cells)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((SIZE[1], SIZE[0]), Image.Resampling.BICUBIC))


def draw_mask(rng: np.random.Generator) -> np.ndarray:
    """Regions of class ids with winding borders, uint8."""
    best, mask = np.full(SIZE, -np.inf, np.float32), np.zeros(SIZE, np.uint8)
    for label in range(CLASSES):
        height = smooth_field(rng, 6) + 0.4 * smooth_field(rng, 24)
        mask[height > best] = label
        best = np.maximum(best, height)
    return mask


def draw_photo(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """A colour per region, shaded at several scales; float32 in about [0, 255]."""
    colours = rng.uniform(40, 200, (CLASSES, 3)).astype(np.float32)
    shade = np.sum([30 / 2**i * smooth_field(rng, 4 * 3**i) for i in range(4)], axis=0)
    return colours[mask] + shade[..., None]


def encode_photo(photo: np.ndarray, rng: np.random.Generator, noise: float) -> tuple[bytes, float]:
    """Add noise until the PNG has a size within `BYTES`.

    Args:
        photo: The clean picture.
        rng: Source of the noise.
        noise: Standard deviation to begin with, in grey levels.

    Returns:
        The file and the standard deviation that it took.
    """
    grain = rng.standard_normal(photo.shape, np.float32)
    low, high = 0.0, 16.0
    while True:
        pixels = np.clip(np.rint(photo + noise * grain), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        size = len(buffer.getvalue())
        if BYTES[0] <= size <= BYTES[1]:
            return buffer.getvalue(), noise
        low, high = (noise, high) if size < BYTES[0] else (low, noise)
        noise = (low + high) / 2


def make_dataset(root: Path, count: int) -> Folder:
    """Write pictures, masks and the YAML that describes them."""
    noise = 1.0
    for folder in ("images", "labels"):
        (root / folder).mkdir()
    for index in range(count):
        rng = np.random.default_rng(index)
        mask = draw_mask(rng)
        content, noise = encode_photo(draw_photo(rng, mask), rng, noise)
        (root / f"images/{index:03d}.png").write_bytes(content)
        Image.fromarray(mask).save(root / f"labels/{index:03d}.png")
    description = {
        "name": "photographs",
        "root": ".",
        "splits": {"train": {"images": "images/*.png", "masks": "labels/{stem}.png"}},
        "classes": [{"name": f"class {i}", "colour": [i, i, i]} for i in range(CLASSES)],
    }
    (root / "dataset.yaml").write_text(yaml.safe_dump(description))
    return Folder(load_dataset(root / "dataset.yaml"), "train")


def seconds_of_parts(folder: Folder, crop: tuple[int, int]) -> dict[str, float]:
    """Median seconds per image in this process: reading the picture, the mask, and augmenting."""
    config = AugmentConfig(crop)
    image, sample, augmented = [], [], []
    folder[0]  # The first call of anything is slow.
    for index, path in enumerate(folder.image_paths):
        begin = time.perf_counter()
        read_image(path)
        image.append(time.perf_counter() - begin)

        begin = time.perf_counter()
        both = folder[index]
        sample.append(time.perf_counter() - begin)

        begin = time.perf_counter()
        augment(both, config, np.random.default_rng(index))
        augmented.append(time.perf_counter() - begin)
    return {
        "image": statistics.median(image),
        "mask": statistics.median(sample) - statistics.median(image),
        "augment": statistics.median(augmented),
    }


def images_per_second(folder: Folder, crop: tuple[int, int], workers: int, batches: int) -> float:
    """Throughput of the loader while nothing else runs."""
    loader = make_train_loader(
        folder,
        AugmentConfig(crop),
        batch_size=BATCH_SIZE,
        seed=0,
        config=LoaderConfig(workers=workers),
    )
    iterator = iter(loader)
    # The first batch of each worker has the time in it that the worker takes to start.
    for _ in itertools.islice(iterator, 2 * workers):
        pass
    started = time.perf_counter()
    for _ in itertools.islice(iterator, batches):
        pass
    return batches * BATCH_SIZE / (time.perf_counter() - started)


def training_speed(crop: tuple[int, int]) -> float | None:
    """Images per second of training ESeg-Lite-S with such crops, if that was measured."""
    if not TRAINING.exists():
        return None
    measured = json.loads(TRAINING.read_text())
    if tuple(measured["settings"]["crop"]) != crop:
        return None
    return measured["results"].get("eseg_lite_s", {}).get("images_per_second")


def measure(folder: Folder, workers: list[int], batches: int) -> list[dict[str, Any]]:
    """One row per crop size and number of workers."""
    rows = []
    for crop in CROPS:
        training = training_speed(crop)
        parts = seconds_of_parts(folder, crop)
        for count in workers:
            speed = images_per_second(folder, crop, count, batches)
            # What a worker spends on an image beyond the parts: stacking, and the way to here.
            others = count / speed - sum(parts.values())
            milliseconds = {**parts, "collate_and_transport": others}
            rows.append(
                {
                    "crop": crop,
                    "workers": count,
                    "images_per_second": round(speed, 2),
                    "milliseconds_per_image": {
                        part: round(1000 * value, 2) for part, value in milliseconds.items()
                    },
                    "times_training": None if training is None else round(speed / training, 2),
                }
            )
    return rows


def print_table(rows: list[dict[str, Any]]) -> None:
    """Show the rows; times are those of one worker for one image."""
    table = Table(
        title=f"Train loader alone, PNG of {SIZE[0]}x{SIZE[1]}",
        caption=f"Parts: ms per image and worker. Wanted: {TARGET} x the training of ESeg-Lite-S.",
    )
    titles = ("crop", "workers", "images/s", "image", "mask", "augment", "rest")
    for title in (*titles, "x training"):
        table.add_column(title, justify="right")
    for row in rows:
        ratio = row["times_training"]
        table.add_row(
            "x".join(map(str, row["crop"])),
            str(row["workers"]),
            f"{row['images_per_second']:.1f}",
            *(f"{value:.1f}" for value in row["milliseconds_per_image"].values()),
            "-" if ratio is None else f"{ratio:.1f}{'' if ratio >= TARGET else ' (!)'}",
        )
    Console().print(table)


def main() -> None:
    """Make the pictures, measure, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=24, help="pictures to make")
    parser.add_argument("--batches", type=int, default=12, help="batches measured per row")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()

    torch.set_num_threads(1)  # As in a worker process.
    with tempfile.TemporaryDirectory() as root:
        folder = make_dataset(Path(root), options.images)
        sizes = [path.stat().st_size for path in folder.image_paths]
        rows = measure(folder, options.workers, options.batches)
    print_table(rows)
    report = {
        "rows": rows,
        "pictures": {"size": SIZE, "count": len(sizes), "mean_bytes": round(np.mean(sizes))},
        "batch_size": BATCH_SIZE,
        "environment": describe_environment(("eseg", "numpy", "pillow", "torch")),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
