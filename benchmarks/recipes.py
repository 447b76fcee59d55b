"""Tables of docs/reproduce.md: per row of the paper its command and its estimated cost.

    python benchmarks/recipes.py --count   # after a change of configs or networks
    python benchmarks/recipes.py

The text between `<!-- begin NAME -->` and `<!-- end NAME -->` is replaced. The cost is estimated,
not measured: the multiply-accumulates of a run, which `--count` writes to benchmarks/results/
recipes.json, divided by the rate of two CPU cores in training_throughput.json beside it.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eseg.config import RunConfig, load_config
from eseg.deploy.benchmark.profile import PAPER_SIZE, profile
from eseg.models import resolve_config
from eseg.models.config import LITE_BACKBONE
from eseg.self_training.pseudo_label import PseudoLabelConfig

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "reproduce.md"
COUNTS = ROOT / "benchmarks" / "results" / "recipes.json"
THROUGHPUT = ROOT / "benchmarks" / "results" / "training_throughput.json"

STREETS_CLASSES = 11
"""Classes of the networks whose throughput was measured."""

VISTAS_CLASSES = 65
"""Classes that version 1.2 evaluates; the config json with their names comes with the data."""

UNLABELLED = 19_998
"""Images in Cityscapes' train_extra, which have coarse labels."""

SECONDS_PER_DAY = 24 * 60 * 60


@dataclass(frozen=True)
class Row:
    """One row of a table of the paper.

    Attributes:
        name: Its name in the paper.
        paper: Its figure in the paper.
        config: The YAML below configs/ of its run; for self-training the student's.
        teacher: The YAML of the teacher's run, for self-training.
    """

    name: str
    paper: str
    config: str
    teacher: str | None = None

    @property
    def command(self) -> str:
        """The command that trains it, from the repository's folder."""
        data = self.config.partition("/")[0]
        if self.teacher is None:
            return f"eseg train configs/{self.config} data.root={data.upper()}"
        output = self.config.removesuffix(".yaml").replace("/", "_")
        return (
            f"eseg self-train configs/{self.teacher} --student-config configs/{self.config} \\\n"
            f"    --unlabelled CITYSCAPES/leftImg8bit/train_extra --output runs/{output} \\\n"
            "    data.root=CITYSCAPES"
        )


CITYSCAPES = {size: f"cityscapes/eseg_{size}.yaml" for size in "sml"}
ABLATIONS = "cityscapes/ablations"


def _data_scaling() -> Iterator[Row]:
    """Yield the rows of Table 7 by size, and the Vistas runs that two of them start from."""
    figures = {
        "s": ("80.1", "81.1", "81.4", "81.7"),
        "m": ("81.6", "82.5", "82.6", "83.7"),
        "l": ("82.6", "83.8", "83.5", "84.8"),
    }
    for size, (baseline, pre, self_trained, combined) in figures.items():
        name, tuned = size.upper(), f"cityscapes/eseg_{size}_vistas.yaml"
        student = f"self_training/eseg_{size}"
        yield Row(f"{name}, baseline", baseline, CITYSCAPES[size])
        yield Row(f"{name}, on Vistas, before the next", "-", f"vistas/eseg_{size}.yaml")
        yield Row(f"{name}, pre-training", pre, tuned)
        yield Row(f"{name}, self-training", self_trained, f"{student}.yaml", CITYSCAPES[size])
        yield Row(f"{name}, combined", combined, f"{student}_vistas.yaml", tuned)


TABLES: dict[str, tuple[Row, ...]] = {
    "table 1": (
        Row("P2-P5", "78.3", f"{ABLATIONS}/eseg_s_p2_p5.yaml"),
        Row("P2-P7", "79.5", f"{ABLATIONS}/eseg_s_p2_p7.yaml"),
        Row("P2-P9", "80.1", CITYSCAPES["s"]),
    ),
    "table 2": (
        Row("P2-P5, FPN", "78.0", f"{ABLATIONS}/fpn_p2_p5.yaml"),
        Row("P2-P5, BiFPN", "78.3", f"{ABLATIONS}/eseg_s_p2_p5.yaml"),
        Row("P2-P9, FPN", "79.1", f"{ABLATIONS}/fpn_p2_p9.yaml"),
        Row("P2-P9, BiFPN", "80.1", CITYSCAPES["s"]),
    ),
    "table 4": (
        Row("ESeg-S", "80.1", CITYSCAPES["s"]),
        Row("ESeg-M", "81.6", CITYSCAPES["m"]),
        Row("ESeg-L", "82.6", CITYSCAPES["l"]),
        *(
            Row(
                f"ESeg-{size.upper()}, extra data",
                figure,
                f"self_training/eseg_{size}_vistas.yaml",
                f"cityscapes/eseg_{size}_vistas.yaml",
            )
            for size, figure in (("s", "81.7"), ("m", "83.7"), ("l", "84.8"))
        ),
    ),
    "table 5": (
        Row("ESeg-M", "46.0 / 81.3", "ade20k/eseg_m.yaml"),
        Row("ESeg-L", "48.2 / 81.8", "ade20k/eseg_l.yaml"),
    ),
    "table 6": (
        Row("ESeg-Lite-M, 512x1024", "74.0", "cityscapes/eseg_lite_m_512x1024.yaml"),
        Row("ESeg-Lite-S, 1024x2048", "76.0", "cityscapes/eseg_lite_s.yaml"),
        Row("ESeg-Lite-M, 1024x2048", "78.6", "cityscapes/eseg_lite_m.yaml"),
        Row("ESeg-Lite-L, 1024x2048", "80.1", "cityscapes/eseg_lite_l.yaml"),
    ),
    "table 7": tuple(_data_scaling()),
    "table 8": (
        Row("EfficientNet-B1, BiFPN", "80.1", CITYSCAPES["s"]),
        Row(
            "EfficientNet-B1, DeepLabV3+, atrous",
            "79.4",
            f"{ABLATIONS}/b1_deeplabv3plus_atrous.yaml",
        ),
        Row("EfficientNet-B1, DeepLabV3+", "78.8", f"{ABLATIONS}/b1_deeplabv3plus.yaml"),
        Row("ResNet-50, BiFPN", "78.9", f"{ABLATIONS}/resnet50_bifpn.yaml"),
        Row(
            "ResNet-50, DeepLabV3+, atrous",
            "77.8",
            f"{ABLATIONS}/resnet50_deeplabv3plus_atrous.yaml",
        ),
        Row("ResNet-50, DeepLabV3+", "77.4", f"{ABLATIONS}/resnet50_deeplabv3plus.yaml"),
    ),
}
"""The rows by table of the paper; several tables share the runs of ESeg-S."""


@functools.cache
def load_recipe(config: str) -> RunConfig:
    """Load a run of configs/ without its data set."""
    path = ROOT / "configs" / config
    if not config.startswith("vistas/"):
        return load_config(path)
    run = load_config(path, ["data.dataset=cityscapes"])
    model = dataclasses.replace(run.model, num_classes=VISTAS_CLASSES)
    return dataclasses.replace(run, model=model)


def count(config: str) -> dict[str, int]:
    """Count a network's parameters, and its multiply-accumulates for a crop and a whole image."""
    run = load_recipe(config)
    crop, whole = profile(run.model, run.augment.crop), profile(run.model, PAPER_SIZE)
    return {"parameters": crop.parameters, "crop_macs": crop.macs, "image_macs": whole.macs}


def count_all() -> dict[str, Any]:
    """Count every row, and the multiply-accumulates behind the measured throughput."""
    throughput = read(THROUGHPUT)
    height, width = throughput["settings"]["crop"]
    configs = dict.fromkeys(row.config for rows in TABLES.values() for row in rows)
    return {
        "rows": {config: count(config) for config in configs},
        "measured": {
            preset: profile(
                resolve_config(preset, num_classes=STREETS_CLASSES), (height, width)
            ).macs
            for preset in throughput["results"]
        },
    }


def read(path: Path) -> dict[str, Any]:
    """Read a file of results."""
    return json.loads(path.read_text(encoding="utf-8"))


def days(row: Row, counts: dict[str, Any], throughput: dict[str, Any]) -> float:
    """Estimate a row's days on the machine of the measurement; a teacher is a row of its own.

    Training is counted at the rate of the most similar measured network, and pseudo-labels as
    forward passes. Evaluation and the runs that give the initial weights are left out.

    Args:
        row: The row.
        counts: The result of `count_all`.
        throughput: The result of benchmarks/training_throughput.py.
    """
    run = load_recipe(row.config)
    like = "eseg_lite_s" if run.model.backbone == LITE_BACKBONE else "eseg_s"
    result = throughput["results"][like]
    rate = result["images_per_second"] * counts["measured"][like]
    seconds = crops(run) * counts["rows"][row.config]["crop_macs"] / rate
    if row.teacher is not None:
        labels = PseudoLabelConfig()
        passes = (1 + labels.flip) * sum(scale**2 for scale in labels.scales)
        work = UNLABELLED * passes * counts["rows"][row.teacher]["image_macs"]
        seconds += work / rate * result["shares"]["forward"]
    return seconds / SECONDS_PER_DAY


def crops(run: RunConfig) -> int:
    """Count the crops that a run trains on."""
    return run.train.steps * run.train.batch_size


def table(
    rows: tuple[Row, ...], counts: dict[str, Any], throughput: dict[str, Any]
) -> Iterator[str]:
    """Yield the rows as lines of Markdown, then their commands; the arguments are as for `days`."""
    yield "| row | paper | crops | MACs per crop | days on 2 CPU cores, estimated |"
    yield "|---|---|---|---|---|"
    for row in rows:
        run = load_recipe(row.config)
        height, width = run.augment.crop
        yield (
            f"| {row.name} | {row.paper} | "
            f"{crops(run) / 1e6:.2f} M of {height}x{width} | "
            f"{counts['rows'][row.config]['crop_macs'] / 1e9:.1f} G | "
            f"{two_digits(days(row, counts, throughput))} |"
        )
    yield "\n```bash"
    for row in rows:
        yield f"# {row.name}\n{row.command}"
    yield "```"


def two_digits(value: float) -> str:
    """Round a number above 0 to the precision of an estimate."""
    return f"{round(value, 1 - math.floor(math.log10(value))):g}"


def fill(text: str) -> str:
    """Return the document with its tables filled in."""
    counts, throughput = read(COUNTS), read(THROUGHPUT)
    for name, rows in TABLES.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"{DOCUMENT} has no {begin} ... {end}")
        filled = "\n".join((begin, *table(rows, counts, throughput), end))
        text = pattern.sub(lambda _, filled=filled: filled, text)
    return text


def main() -> None:
    """Rewrite the document in place, after counting if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", action="store_true", help="count again, which takes minutes")
    if parser.parse_args().count:
        COUNTS.write_text(json.dumps(count_all(), indent=1) + "\n", encoding="utf-8")
    DOCUMENT.write_text(fill(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
