r"""What self-training brings on CamVid with an eighth of its train labels.

    python benchmarks/self_training_camvid.py CAMVID
    python benchmarks/self_training_camvid.py CAMVID train.steps=800 optim.lr=0.02 \
        --teacher 'runs/self_training_camvid/seed{seed}/control/best.pt' --student-from teacher \
        --folder runs/self_training_camvid_longer \
        --output benchmarks/results/self_training_camvid_longer.json

For every seed: a teacher, its pseudo-labels, a student, and a control that learns from the labelled
images alone, from the student's start and in as many steps. The runs lie in `--folder`; broken off
and started again, the script goes on where it was, and what has been measured so far is in
`--output`. `section.key=value` changes all runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

from camvid_eighth import LABELLED, UNLABELLED, lay_out

from eseg.checkpoint import load_checkpoint
from eseg.cli.screen import RichReporter
from eseg.config import load_config
from eseg.deploy.benchmark.environment import describe_environment
from eseg.self_training.pseudo_label import PseudoLabelConfig
from eseg.self_training.rounds import SelfTraining, self_train
from eseg.training.trainer import train

TEACHER = Path("configs/self_training/camvid_eighth.yaml")
STUDENT = Path("configs/self_training/camvid_eighth_student.yaml")
RESULT = Path("benchmarks/results/self_training_camvid.json")
NETWORKS = ("teacher", "student", "control")
REPORTER = RichReporter()


def train_control(plan: SelfTraining, teacher: Path, folder: Path, device: str | None) -> None:
    """Train as the student is trained, but from the labelled images alone."""
    if (folder / "scores.json").exists():
        return
    student = plan.student_of(teacher, dataset=plan.unlabelled)
    config = dataclasses.replace(student, data=dataclasses.replace(student.data, pseudo=None))
    train(config, folder, device=device, resume=folder.exists(), reporter=REPORTER)


def summarise(seed_folder: Path) -> dict[str, Any]:
    """What one seed came to."""
    report = json.loads((seed_folder / "self_training" / "report.json").read_text())
    done = report["rounds"][0]
    control = load_checkpoint(seed_folder / "control" / "best.pt")
    scores = {"teacher": report["teacher"], "student": done["student"], "control": control.scores}
    return {
        "miou": {name: round(scores[name]["miou"], 4) for name in NETWORKS},
        "iou": {
            name: dict(zip(report["classes"], rounded(scores[name]["iou"]), strict=True))
            for name in NETWORKS
        },
        "pseudo_labels": {
            "images": done["pseudo_labels"]["images"],
            "images_per_second": done["pseudo_labels"]["images_per_second"],
            "kept_fraction": round(done["pseudo_labels"]["kept_fraction"], 4),
        },
    }


def rounded(values: list[float | None]) -> list[float | None]:
    """To four digits."""
    return [None if value is None else round(value, 4) for value in values]


def main() -> None:
    """Train everything and write the result after every seed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("camvid", type=Path, help="folder with images/ and labels/")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--student-from", help="as `eseg self-train` has it; default: scratch")
    parser.add_argument("--teacher", help="trained teachers; {seed} stands for the seed")
    parser.add_argument("--folder", type=Path, default=Path("runs/self_training_camvid"))
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--device")
    options = parser.parse_intermixed_args()

    data = options.folder / "camvid_eighth"
    lay_out(options.camvid, data)
    result: dict[str, Any] = {
        "labelled_images": len(LABELLED.read_text().split()),
        "unlabelled_images": len(UNLABELLED.read_text().split()),
        "overrides": options.overrides,
        "student_from": options.student_from,
        "given_teacher": options.teacher,
        "seeds": {},
        "environment": describe_environment(("eseg", "torch", "timm", "numpy", "pillow")),
    }
    for seed in options.seeds:
        given = Path(options.teacher.format(seed=seed)) if options.teacher else None
        overrides = [*options.overrides, f"data.root={data}", f"seed={seed}"]
        plan = SelfTraining(
            teacher=load_config(TEACHER, overrides),
            student=load_config(STUDENT, overrides),
            unlabelled=data / "unlabelled",
            labels=PseudoLabelConfig(),
            given_teacher=given,
            student_from=options.student_from,
        )
        folder = options.folder / f"seed{seed}"
        self_train(plan, folder / "self_training", device=options.device, reporter=REPORTER)
        teacher = given or folder / "self_training" / "round1" / "teacher" / "best.pt"
        train_control(plan, teacher, folder / "control", options.device)

        steps = plan.student.train.steps
        teachers = plan.teacher.train.steps if given is None else None
        result["steps"] = {"teacher": teachers, "student": steps, "control": steps}
        result["seeds"][seed] = summarise(folder)
        measured = [entry["miou"] for entry in result["seeds"].values()]
        result["mean_miou"] = {
            name: round(statistics.mean(miou[name] for miou in measured), 4) for name in NETWORKS
        }
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(result, indent=2) + "\n")
        print(f"{options.output}: mIoU {result['mean_miou']} over seeds {list(result['seeds'])}")


if __name__ == "__main__":
    main()
