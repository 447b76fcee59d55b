"""Images per second of the train loader alone, on photographs of 1024x2048 pixels.

    python benchmarks/loading_throughput.py

It first makes the pictures, smooth content with edges and enough noise for PNGs of about 2.5 MB,
like those of Cityscapes, and masks of 8-bit ids. All files were just written, so they are read from
memory and not from the disk. If there are figures of `training_throughput.py` with the same crop
size, the loader is compared with the training of ESeg-Lite-S.
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

from eseg.config import load_dataset
from eseg.data.folder import Folder
from eseg.data.loaders import LoaderConfig, make_train_loader
from eseg.data.reading import read_image
from eseg.data.transforms import AugmentConfig, augment
from eseg.deploy.benchmark.environment import describe_environment
from eseg.reports.table import Table

OUTPUT = Path("benchmarks/results/loading_throughput.json")
TRAINING = Path("benchmarks/results/training_throughput.json")
SIZE = (1024, 2048)
BYTES = (2_400_000, 2_600_000)
CLASSES = 19
CROPS = ((256, 512), (512, 1024))
BATCH_SIZE = 8
TARGET = 1.5
"""Wanted ratio of the loader's speed to that of training, which otherwise waits for it."""


def smooth_field(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Draw random hills in about [-1, 1], `cells` of them from top to bottom; float32 of `SIZE`."""
    coarse = rng.uniform(-1, 1, (cells, 2 * cells)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((SIZE[1], SIZE[0]), Image.Resampling.BICUBIC))


def draw_mask(rng: np.random.Generator) -> np.ndarray:
    """Draw regions of class ids with winding borders, uint8."""
    best, mask = np.full(SIZE, -np.inf, np.float32), np.zeros(SIZE, np.uint8)
    for label in range(CLASSES):
        height = smooth_field(rng, 6) + 0.4 * smooth_field(rng, 24)
        mask[height > best] = label
        best = np.maximum(best, height)
    return mask


def draw_photo(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """Draw a colour per region, shaded at several scales; float32 in about [0, 255]."""
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
        The file and the final standard deviation.
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
    """Measure median seconds per image in this process: picture, mask, augmentation."""
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
    """Measure the throughput of the loader while nothing else runs."""
    loader = make_train_loader(
        folder,
        AugmentConfig(crop),
        batch_size=BATCH_SIZE,
        seed=0,
        config=LoaderConfig(workers=workers),
    )
    iterator = iter(loader)
    # The first batch of each worker includes the worker's start.
    for _ in itertools.islice(iterator, 2 * workers):
        pass
    started = time.perf_counter()
    for _ in itertools.islice(iterator, batches):
        pass
    return batches * BATCH_SIZE / (time.perf_counter() - started)


def training_speed(crop: tuple[int, int]) -> float | None:
    """Read the images per second of training ESeg-Lite-S with such crops, if measured."""
    if not TRAINING.exists():
        return None
    measured = json.loads(TRAINING.read_text())
    if tuple(measured["settings"]["crop"]) != crop:
        return None
    return measured["results"].get("eseg_lite_s", {}).get("images_per_second")


def measure(folder: Folder, workers: list[int], batches: int) -> list[dict[str, Any]]:
    """Measure one row per crop size and number of workers."""
    rows = []
    for crop in CROPS:
        training = training_speed(crop)
        parts = seconds_of_parts(folder, crop)
        for count in workers:
            speed = images_per_second(folder, crop, count, batches)
            # The rest of a worker's time per image: stacking, and transport to this process.
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


def table_of(rows: list[dict[str, Any]]) -> Table:
    """Show the rows; times are milliseconds of one worker for one image."""
    cells = []
    for row in rows:
        ratio = row["times_training"]
        cells.append(
            (
                "x".join(map(str, row["crop"])),
                str(row["workers"]),
                f"{row['images_per_second']:.1f}",
                *(f"{value:.1f}" for value in row["milliseconds_per_image"].values()),
                "-" if ratio is None else f"{ratio:.1f}{'' if ratio >= TARGET else ' (!)'}",
            )
        )
    titles = ("crop", "workers", "images/s", "image", "mask", "augment", "rest")
    return Table((*titles, f"x training (wanted: {TARGET})"), cells)


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
    print(f"Train loader alone, PNG of {SIZE[0]}x{SIZE[1]}")
    print(table_of(rows).to_markdown())
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
