"""Kill `eseg pseudo-label` twenty times; the files must be those of a run that was left alone.

    python benchmarks/kill_pseudo_label.py

A small network with random weights labels procedural scenes. Each process is killed (SIGKILL) at a
random moment after some random number of new files, the last ones while the summary is written.
Compared are all files by SHA-256, of report.json everything but the speed; and files that were
finished before a kill must be the very same ones (inode and time) at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from eseg.checkpoint import Checkpoint, save_checkpoint
from eseg.deploy.benchmark.environment import describe_environment
from eseg.models import ModelConfig, create_model
from eseg.runtime.writing import LOCK
from eseg.streets import CLASSES, Streets, StreetsConfig

SIZE = (96, 192)
POLL_SECONDS = 0.002


def make_checkpoint(path: Path) -> None:
    """A small network whose random classifier is as decided as a trained one."""
    torch.manual_seed(0)
    config = ModelConfig(
        backbone="lite", width=0.2, depth=0.3, min_level=3, max_level=6, channels=8, repeats=1,
        activation="relu", num_classes=len(CLASSES),
    )  # fmt: skip
    weights = create_model(config).state_dict()
    classifier = [name for name in weights if name.startswith("head") and "weight" in name][-1]
    weights[classifier] *= 300
    save_checkpoint(Checkpoint(config, CLASSES, weights, step=0), path)


def make_images(folder: Path, count: int) -> None:
    """Scenes in a tree of folders."""
    scenes = Streets("train", StreetsConfig(size=SIZE, train_length=count))
    for index in range(count):
        path = folder / f"{index % 3}" / f"{index % 2}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scenes[index].image).save(path)


def start(checkpoint: Path, images: Path, output: Path) -> subprocess.Popen[bytes]:
    """Start labelling in a process of its own."""
    command = [sys.executable, "-m", "eseg", "pseudo-label", str(checkpoint), "--device", "cpu"]
    command += ["--images", str(images), "--output", str(output), "--confidence"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def finished_files(output: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every mask."""
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in (output / "labels").rglob("[!.]*.png")
    }


def digests(output: Path) -> dict[str, str]:
    """SHA-256 of every file, hidden ones too."""
    result = {}
    for path in sorted(p for p in output.rglob("*") if p.is_file() and p.name != LOCK):
        content = path.read_bytes()
        if path.name == "report.json":
            content = json.dumps(json.loads(content) | {"images_per_second": None}).encode()
        name = path.relative_to(output).as_posix()
        result[name] = hashlib.sha256(content).hexdigest()
    return result


def kill_among_images(process: subprocess.Popen[bytes], output: Path, rng: random.Random) -> bool:
    """Kill at a random moment after 1 to 6 new masks; False if it was through before."""
    target = len(finished_files(output)) + rng.randint(1, 6)
    while process.poll() is None and len(finished_files(output)) < target:
        time.sleep(POLL_SECONDS)
    time.sleep(rng.uniform(0, 0.05))
    return kill(process)


def kill_in_summary(process: subprocess.Popen[bytes], output: Path, rng: random.Random) -> bool:
    """Kill at a random moment after the list of pairs was written anew; False if too late."""
    pairs = output / "pairs.txt"
    before = pairs.stat().st_mtime_ns if pairs.exists() else 0
    while process.poll() is None and not (pairs.exists() and pairs.stat().st_mtime_ns > before):
        time.sleep(POLL_SECONDS)
    time.sleep(rng.uniform(0, 0.1))
    return kill(process)


def kill(process: subprocess.Popen[bytes]) -> bool:
    """SIGKILL; whether the process died of it."""
    process.kill()
    return process.wait() == -signal.SIGKILL


def interrupt(
    checkpoint: Path, images: Path, output: Path, count: int, kills: int, in_summary: int
) -> list[dict[str, Any]]:
    """Kill one run again and again, then let it finish; what each kill met."""
    rng, events, finished = random.Random(0), [], {}
    while len(events) < kills:
        summary = len(events) >= kills - in_summary
        process = start(checkpoint, images, output)
        if not (kill_in_summary if summary else kill_among_images)(process, output, rng):
            if not summary:
                raise SystemExit("the images were used up before the kills; raise --images")
            continue
        files = finished_files(output)
        redone = sum(files.get(name) != before for name, before in finished.items())
        leftover = [path.name for path in output.rglob(".*.*") if path.is_file()]
        events.append(
            {"in_summary": summary, "masks": len(files), "redone": redone, "unfinished": leftover}
        )
        print(f"kill {len(events)}: {len(files)} of {count} masks, unfinished files {leftover}")
        finished = files
    if start(checkpoint, images, output).wait() != 0:
        raise SystemExit("the last run failed")
    files = finished_files(output)
    events[-1]["redone"] += sum(files.get(name) != before for name, before in finished.items())
    return events


def main() -> None:
    """Compare a run left alone with one that is killed, and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--in-summary", type=int, default=4, help="how many of them at the end")
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/kill_pseudo_label.json")
    )
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint, images = folder / "best.pt", folder / "images"
        make_checkpoint(checkpoint)
        make_images(images, options.images)
        output = folder / "output"  # one name for both: it stands in the list of pairs
        if start(checkpoint, images, output).wait() != 0:
            raise SystemExit("the run that is left alone failed")
        alone = digests(output)
        output.rename(folder / "alone")
        events = interrupt(
            checkpoint, images, output, options.images, options.kills, options.in_summary
        )
        killed = digests(output)
    result = {
        "images": options.images,
        "kills": events,
        "files_compared": len(alone),
        "identical": alone == killed,
        "finished_files_redone": sum(event["redone"] for event in events),
        "environment": describe_environment(("eseg", "torch", "numpy", "pillow")),
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{options.output}: identical {result['identical']}, {len(alone)} files")
    if not result["identical"] or result["finished_files_redone"]:
        raise SystemExit(f"differing: {sorted(k for k in alone if alone[k] != killed.get(k))}")


if __name__ == "__main__":
    main()
