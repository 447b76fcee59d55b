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
from eseg.reports.picture_sheet import curve_png
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
    write_sheet(output / "sheet.png", checkpoint, val_set, device)
    console.print(scores_table(checkpoint.classes, checkpoint.scores))
    made = f"curve {output / 'curve.png'}, pictures {output / 'sheet.png'}"
    console.print(Text(made), soft_wrap=True)
