"""One training run, start to end, as a JSON result.

    python benchmarks/training_run.py configs/camvid/cpu_1h.yaml
    python benchmarks/training_run.py configs/camvid/eseg_s.yaml data.root=CAMVID --device cuda

The wall-clock time includes loading, validation and the report at the end. The run's folder is kept
(runs/NAME), and one that is finished is not trained again: its result is written anew.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from environment import describe_environment

from eseg.checkpoint import load_checkpoint
from eseg.config import load_config
from eseg.training.loggers import read_log
from eseg.training.trainer import train

RESULTS = Path("benchmarks/results")
PACKAGES = ("eseg", "torch", "timm", "numpy", "pillow")


def summarise(folder: Path, seconds: float) -> dict[str, object]:
    """What a finished run came to."""
    best = load_checkpoint(folder / "best.pt")
    log = read_log(folder / "log.jsonl")
    steps = [record for record in log if "loss" in record]
    evaluations = [record for record in log if "miou" in record]
    return {
        "wall_clock_minutes": round(seconds / 60, 2),
        "median_images_per_second": statistics.median(r["images_per_second"] for r in steps),
        "peak_memory_mib": max(r["memory_mib"] for r in steps),
        "best_step": best.step,
        "last_miou": round(evaluations[-1]["miou"], 4),
        "val_miou_by_step": {r["step"]: round(r["miou"], 4) for r in evaluations},
        "miou": round(best.scores["miou"], 4),
        "pixel_accuracy": round(best.scores["pixel_accuracy"], 4),
        "iou": {
            name: round(iou, 4)
            for name, iou in zip(best.classes.names, best.scores["iou"], strict=True)
        },
        "train": best.run["train"],
        "environment": describe_environment(PACKAGES),
    }


def main() -> None:
    """Train, then write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="section.key=value")
    parser.add_argument("--device")
    options = parser.parse_args()

    name = f"{options.config.parent.name}_{options.config.stem}"
    folder = Path("runs") / name
    timing = folder / "seconds.json"
    if not timing.exists():
        config = load_config(options.config, options.overrides)
        result = train(config, folder, device=options.device)
        timing.write_text(json.dumps({"seconds": result.seconds}))
    summary = summarise(folder, json.loads(timing.read_text())["seconds"])
    output = RESULTS / f"{name}.json"
    output.write_text(json.dumps(summary, indent=2) + "\n")
    print(f"{output}: mIoU {summary['miou']} in {summary['wall_clock_minutes']} minutes")


if __name__ == "__main__":
    main()
