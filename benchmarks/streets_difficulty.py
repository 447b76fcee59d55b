"""Difficulty of the street scenes: for small patches, and for a network with and without P6-P9.

    python benchmarks/streets_difficulty.py --part forest
    python benchmarks/streets_difficulty.py --part levels

`forest`: a random forest on the raw RGB values of 15x15 patches, once with and once without
balanced class weights. `levels`: ESeg-Lite-S with the levels P3-P9 against P3-P5, equal steps, two
seeds. Each part replaces its own entry in the JSON file and leaves the other's alone; so does each
pyramid of `levels`, which may be trained side by side (`--max-level 9`, `--max-level 5`).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import confusion_matrix

from eseg.deploy.benchmark.environment import describe_environment
from eseg.runtime.class_table import IGNORE_INDEX
from eseg.streets import CLASSES, Streets, StreetsConfig

PATCH = 15
FOREST_LIMIT = 0.40
VAL_SCENES = 100
PACKAGES = ("eseg", "numpy", "pillow", "scikit-learn", "torch")


def draw_patches(
    split: str, scenes: int, per_scene: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw patches around random labelled pixels of a split's first scenes.

    Returns:
        uint8 (patches, PATCH * PATCH * 3) and the class ids of their central pixels.
    """
    dataset = Streets(split, StreetsConfig(train_length=scenes, val_length=scenes))
    patches, labels = [], []
    border = PATCH // 2
    for sample in (dataset[index] for index in range(scenes)):
        windows = sliding_window_view(sample.image, (PATCH, PATCH), axis=(0, 1))
        centres = sample.mask[border:-border, border:-border]
        rows = rng.integers(0, centres.shape[0], per_scene)
        columns = rng.integers(0, centres.shape[1], per_scene)
        patches.append(windows[rows, columns].reshape(per_scene, -1))
        labels.append(centres[rows, columns])
    values, ids = np.concatenate(patches), np.concatenate(labels)
    labelled = ids != IGNORE_INDEX
    return values[labelled], ids[labelled]


def class_ious(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return the IoU of every class over one confusion matrix."""
    matrix = confusion_matrix(truth, prediction, labels=range(len(CLASSES)))
    hits = np.diag(matrix)
    return hits / (matrix.sum(axis=0) + matrix.sum(axis=1) - hits)


def forest_part() -> dict[str, object]:
    """Train and score the forest, with and without balanced class weights."""
    rng = np.random.default_rng(0)
    patches, labels = draw_patches("train", scenes=400, per_scene=125, rng=rng)
    val_patches, val_labels = draw_patches("val", scenes=100, per_scene=400, rng=rng)
    report: dict[str, object] = {"train_patches": len(labels), "val_pixels": len(val_labels)}
    worst = 0.0
    for name, weight in (("uniform", None), ("balanced", "balanced_subsample")):
        started = time.perf_counter()
        forest = RandomForestClassifier(
            60, min_samples_leaf=2, class_weight=weight, n_jobs=1, random_state=0
        )
        ious = class_ious(val_labels, forest.fit(patches, labels).predict(val_patches))
        worst = max(worst, float(ious.mean()))
        report[name] = {
            "miou": round(float(ious.mean()), 4),
            "iou": dict(zip(CLASSES.names, ious.round(3).tolist(), strict=True)),
            "seconds": round(time.perf_counter() - started, 1),
        }
        print(f"forest, {name} class weights: {ious.mean():.4f} mIoU")
    report["below_limit"] = worst < FOREST_LIMIT
    return report


def levels_config(max_level: int, steps: int, seed: int) -> dict[str, object]:
    """Return the same short run for both pyramids; scenes are neither cropped nor rescaled.

    Both fusions start in favour of the fine levels: from an even start a run this short mostly
    measures the time that the softmax takes to prefer them.
    """
    size = [192, 384]
    return {
        "model": {"preset": "eseg_lite_s", "max_level": max_level, "norm_momentum": 0.1}
        | {"fusion_slope": 0.7},
        "data": {"streets": {"size": size, "val_length": VAL_SCENES}},
        "augment": {"crop": size, "scale": [1.0, 1.0]},
        "train": {"steps": steps, "batch_size": 4, "ema_decay": 0.98, "eval_every": steps},
        "optim": {"lr": 0.05, "warmup_steps": 20},
        "seed": seed,
    }


def levels_part(steps: int, max_levels: list[int]) -> dict[str, object]:
    """Train with the levels up to P9 and up to P5: equal steps, two seeds each."""
    # Training needs torch; the forest does not.
    from eseg.config import parse_config
    from eseg.training.trainer import train

    report: dict[str, object] = {"steps": steps}
    for max_level in max_levels:
        scores = []
        for seed in (0, 1):
            config = parse_config(levels_config(max_level, steps, seed))
            with tempfile.TemporaryDirectory() as folder:
                result = train(config, folder)
                last = json.loads((Path(folder) / "scores.json").read_text())
            scores.append(round(result.last_miou, 4))
            ious = dict(zip(last["classes"], (round(iou, 3) for iou in last["iou"]), strict=True))
            print(f"P3-P{max_level}, seed {seed}: {scores[-1]:.4f} mIoU; {ious}")
        report[f"P3-P{max_level}"] = scores
    return report


def main() -> None:
    """Run one part and store its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("forest", "levels"), required=True)
    parser.add_argument("--steps", type=int, default=1500, help="steps of each run of `levels`")
    parser.add_argument(
        "--max-level", type=int, nargs="+", default=[9, 5], help="pyramids of `levels` to train"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/streets_difficulty.json")
    )
    arguments = parser.parse_args()
    if arguments.part == "forest":
        report = forest_part()
    else:
        report = levels_part(arguments.steps, arguments.max_level)
    results = json.loads(arguments.output.read_text()) if arguments.output.exists() else {}
    before = results.get(arguments.part, {})
    if arguments.part == "forest" or before.get("steps") != arguments.steps:
        before = {}  # figures of another budget cannot be compared
    results[arguments.part] = before | report | {"environment": describe_environment(PACKAGES)}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
