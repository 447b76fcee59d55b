"""One training run, start to end, as a JSON result.

    python benchmarks/training_run.py configs/camvid/cpu_1h.yaml
    python benchmarks/training_run.py configs/camvid/eseg_s.yaml data.root=CAMVID --device cuda

The wall-clock time is that of `eseg.training.trainer.train`: building the network, loading,
training, validation, and the report at the end; importing torch is not in it. The run's folder is
runs/NAME, where the pictures stay.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from eseg.checkpoint import load_checkpoint
from eseg.cli.screen import RichReporter
from eseg.deploy.benchmark.environment import describe_environment
from eseg.training.run_folder import read_log
from eseg.training.trainer import TrainResult, train

RESULTS = Path("benchmarks/results")
PACKAGES = ("eseg", "torch", "timm", "numpy", "pillow")


def summarise(folder: Path, result: TrainResult) -> dict[str, object]:
    """What a finished run came to."""
    best = load_checkpoint(result.checkpoint)
    log = read_log(folder / "log.jsonl")
    steps = [record for record in log if "loss" in record]
    evaluations = [record for record in log if "miou" in record]
    return {
        "wall_clock_minutes": round(result.seconds / 60, 2),
        "median_images_per_second": statistics.median(r["images_per_second"] for r in steps),
        "peak_memory_mib": max(r["memory_mib"] for r in steps),
        "best_step": best.step,
        "last_miou": round(result.last_miou, 4),
        "val_miou_by_step": {r["step"]: round(r["miou"], 4) for r in evaluations},
        "miou": round(best.scores["miou"], 4),
        "pixel_accuracy": round(best.scores["pixel_accuracy"], 4),
        "iou": {
            name: round(iou, 4)
            for name, iou in zip(best.classes.names, best.scores["iou"], strict=True)
        },
        "model": best.run["model"],
        "train": best.run["train"],
    }


def main() -> None:
    """Train, then write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="section.key=value")
    parser.add_argument("--device")
    options = parser.parse_args()

    environment = describe_environment(PACKAGES)
    name = f"{options.config.parent.name}_{options.config.stem}"
    folder = Path("runs") / name
    result = train(
        options.config,
        folder,
        overrides=options.overrides,
        device=options.device,
        reporter=RichReporter(),
    )
    summary = summarise(folder, result)
    summary |= {"overrides": options.overrides, "environment": environment}
    output = RESULTS / f"{name}.json"
    output.write_text(json.dumps(summary, indent=2) + "\n")
    print(f"{output}: mIoU {summary['miou']} in {summary['wall_clock_minutes']} minutes")


if __name__ == "__main__":
    main()
