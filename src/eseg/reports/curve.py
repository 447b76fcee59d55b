"""Learning curve of a run as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_LOSS_COLOUR, _MIOU_COLOUR = "#3b6ea5", "#c2571a"


def curve_png(history: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Draw a run's training loss (left axis) and validation mIoU (right axis) over its steps.

    Args:
        history: Records with a "step" and a "loss", a "miou" or both; other keys and values that
            are None are ignored.
        path: The PNG to write.
    """
    from matplotlib.figure import Figure  # half a second to import

    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    loss_axes = figure.add_subplot()
    loss_axes.set_xlabel("training step")
    loss_axes.xaxis.set_major_formatter("{x:,.0f}")
    loss_axes.locator_params(axis="x", integer=True)
    loss_axes.spines["top"].set_visible(False)

    steps, losses = _series(history, "loss")
    loss_axes.set_ylabel("training loss (nats)", color=_LOSS_COLOUR)
    loss_axes.tick_params(axis="y", labelcolor=_LOSS_COLOUR)
    if steps:
        loss_axes.plot(steps, losses, color=_LOSS_COLOUR, alpha=0.25, linewidth=0.8)
        loss_axes.plot(steps, _smoothed(losses), color=_LOSS_COLOUR, linewidth=1.6)
        loss_axes.set_ylim(bottom=0)

    steps, mious = _series(history, "miou")
    if steps:
        miou_axes = loss_axes.twinx()
        miou_axes.spines["top"].set_visible(False)
        miou_axes.set_ylabel("validation mIoU", color=_MIOU_COLOUR)
        miou_axes.tick_params(axis="y", labelcolor=_MIOU_COLOUR)
        miou_axes.plot(steps, mious, color=_MIOU_COLOUR, linewidth=1.6, marker="o", markersize=3.5)
        best = max(range(len(mious)), key=mious.__getitem__)
        miou_axes.plot(steps[best], mious[best], color=_MIOU_COLOUR, marker="*", markersize=13)
        miou_axes.annotate(
            f"best {mious[best]:.3f} at step {steps[best]:,}",
            (steps[best], mious[best]),
            xytext=(0, 9),
            textcoords="offset points",
            ha="right" if steps[best] > sum(loss_axes.get_xlim()) / 2 else "left",
            color=_MIOU_COLOUR,
        )
        miou_axes.set_ylim(0, min(1.08, 1.2 * max(mious) + 1e-3))
    figure.savefig(path, format="png")


def _series(history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Return steps and values of the records that have the key."""
    points = [(record["step"], record[key]) for record in history if record.get(key) is not None]
    return [step for step, _ in points], [value for _, value in points]


def _smoothed(values: Sequence[float]) -> np.ndarray:
    """Return a running mean over a fortieth of the curve."""
    window = np.ones(1 + len(values) // 40)
    return np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")
