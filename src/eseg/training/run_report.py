"""What a run leaves for a person to look at: a table per class, a curve, a sheet of pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from eseg.checkpoint import Checkpoint
from eseg.data.dataset import SegmentationDataset
from eseg.inference.predictor import Predictor
from eseg.reports.curve import curve_png
from eseg.reports.score_report import scores_table, write_sheet


def write_report(
    output: Path,
    checkpoint: Checkpoint,
    history: Sequence[dict[str, Any]],
    val_set: SegmentationDataset,
    device: str,
    console: Console,
) -> None:
    """Write `scores.json`, `curve.png` and `sheet.png` into a run's folder and print the table.

    Args:
        output: The run's folder.
        checkpoint: The best weights with their scores.
        history: Records of the run's log.
        val_set: Where the pictures come from.
        device: Where to run the network for them.
        console: Where to print.
    """
    report = {"step": checkpoint.step, "classes": checkpoint.classes.names, **checkpoint.scores}
    (output / "scores.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    curve_png(history, output / "curve.png")
    predictor = Predictor(checkpoint, device=device)
    write_sheet(output / "sheet.png", lambda image: predictor(image).labels, val_set)
    console.print(Text(scores_table(checkpoint.classes, checkpoint.scores).to_markdown()))
    made = f"curve {output / 'curve.png'}, pictures {output / 'sheet.png'}"
    console.print(Text(made), soft_wrap=True)
