"""Reports of a benchmark and of a choice among the presets: tables, notes, a plot and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from eseg.deploy.benchmark.benchmark import PACKAGES, Benchmark, Measured
from eseg.deploy.benchmark.choose import Choice
from eseg.deploy.benchmark.environment import describe_environment
from eseg.deploy.benchmark.timed_network import STAGES
from eseg.deploy.benchmark.timing import UNSTEADY, Times
from eseg.reports.table import Table
from eseg.runtime.engine_table import CHECKPOINT_ENGINES
from eseg.runtime.writing import output_errors

_DECODING_COLOUR = "#b8b8b8"
_STAGE_COLOURS = {"preprocess": "#e6a04b", "network": "#3b6fb6", "labels": "#4aa06c"}


def benchmark_tables(result: Benchmark) -> list[Table]:
    """Return the times, and their costs in arithmetic and memory."""
    return [_times_table(result), _cost_table(result)]


def benchmark_notes(result: Benchmark) -> list[str]:
    """Return notes for reading the tables, a line each."""
    decoding = Times.of(result.decoding)
    notes = [
        f"whole: from a uint8 image in memory to uint8 labels in memory; decoding the image "
        f"({result.pictures[0].encoding}) takes {decoding.median:.1f} ms more"
    ]
    if any(m.subject.engine not in CHECKPOINT_ENGINES for m in result.measured):
        notes.append(
            "exported graphs normalise the image themselves, and those with labels as outputs "
            "make the labels too: their other stages take next to nothing"
        )
    if result.peak:
        notes.append(
            f"peak: fp32 matrix products reach {np.median(result.peak):.0f} GFLOP/s here "
            f"({result.product['library']}, side {result.product['side']})"
        )
    random = dict.fromkeys(m.subject.name for m in result.measured if not m.subject.is_trained)
    if random:
        notes.append(
            f"random weights: {', '.join(random)}; their labels are near noise, which takes the "
            "labels stage longer than what a trained network gives"
        )
    return notes


def benchmark_warnings(result: Benchmark) -> list[str]:
    """Return reasons to doubt the figures, a line each."""
    worst = max(result.measured, key=lambda measured: measured.times().spread)
    if worst.times().spread <= UNSTEADY:
        return []
    return [
        f"the machine is not steady: from p5 to p95 the times of {worst.subject.name} spread over "
        f"{worst.times().spread:.0%} of their median; stop what else runs, or take more rounds"
    ]


def benchmark_dict(result: Benchmark) -> dict[str, Any]:
    """Return everything for JSON: times in milliseconds, memory in MiB."""
    pictures, first = result.pictures, result.measured[0].subject
    peak = None
    if result.peak:
        peak = {"gflops_per_second": round(float(np.median(result.peak)), 1)} | result.product
    return {
        "images": {"size": pictures[0].size, "sources": [picture.source for picture in pictures]},
        "decoding": {
            **Times.of(result.decoding).to_dict(),
            "encodings": [picture.encoding for picture in pictures],
            "bytes": [len(picture.encoded) for picture in pictures],
        },
        "subjects": [_subject_dict(result, measured) for measured in result.measured],
        "rounds": len(result.decoding),
        "device": first.device,
        "threads": first.threads if first.device == "cpu" else None,
        "peak": peak,
        "warnings": benchmark_warnings(result),
        "environment": result.environment,
    }


def save_benchmark_plot(result: Benchmark, path: Path) -> None:
    """Draw bars of the stages' medians, with whiskers at p5 and p95, as a PNG or SVG file."""
    from matplotlib.figure import Figure  # half a second that nobody should wait for elsewhere

    names = [m.subject.name for m in result.measured]
    figure = Figure(figsize=(8, 1.6 + 0.45 * len(names)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    left = np.zeros(len(names))
    for stage, colour in _STAGE_COLOURS.items():
        widths = [m.times(stage).median for m in result.measured]
        axes.barh(names, widths, left=left, height=0.6, color=colour, label=stage)
        left += widths
    decoding = Times.of(result.decoding).median
    label = f"decoding {result.pictures[0].encoding}"
    axes.barh([label], [decoding], height=0.6, color=_DECODING_COLOUR)
    for row, measured in enumerate(result.measured):
        whole = measured.times()
        axes.plot([whole.p5, whole.p95], [row, row], color="black", linewidth=1, marker="|")
        text, place = f"{whole.median:.1f} ms", (max(whole.p95, left[row]), row)
        axes.annotate(text, place, (5, 0), textcoords="offset points", va="center")
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlim(left=0)
    height, width = result.pictures[0].size
    first = result.measured[0].subject
    device = first.device if first.device != "cpu" else f"cpu, threads: {first.threads}"
    axes.set_xlabel(f"ms per image of {height}x{width} ({device})")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper right", ncols=len(_STAGE_COLOURS), frameon=False)
    with output_errors(path, "plot"):
        figure.savefig(path)


def _times_table(result: Benchmark) -> Table:
    height, width = result.pictures[0].size
    rows = [
        (
            measured.subject.name,
            *(f"{measured.times(stage).median:.1f}" for stage in (*STAGES, "whole")),
            f"{measured.times().p5:.1f}",
            f"{measured.times().p95:.1f}",
            f"{1000 / measured.times().median:.1f}",
            f"{result.ratio(measured):.2f}",
        )
        for measured in result.measured
    ]
    headings = ("subject", "prep.", "network", "labels", "whole", "p5", "p95", "fps", "ratio")
    return Table(headings, rows, title=f"ms per image of {height}x{width}")


def _cost_table(result: Benchmark) -> Table:
    rows = []
    for measured in result.measured:
        share, memory = result.peak_share(measured), measured.memory
        rows.append(
            (
                measured.subject.name,
                measured.precision,
                *measured.profile.cells(),
                f"{measured.gflops_per_second:.0f}",
                "-" if share is None else f"{share:.0%}",
                f"{memory.get('cuda', memory['process']):.0f} MiB",
            )
        )
    headings = ("subject", "precision", "params", "MACs", "GFLOP/s", "of peak", "memory")
    return Table(headings, rows)


def _subject_dict(result: Benchmark, measured: Measured) -> dict[str, Any]:
    subject, share = measured.subject, result.peak_share(measured)
    return {
        "name": subject.name,
        "engine": subject.engine,
        "precision": measured.precision,
        "outputs": measured.info.outputs,
        "weights": "trained" if subject.is_trained else "random",
        "parameters": measured.profile.parameters,
        "macs": measured.profile.macs,
        "stages_ms": {stage: measured.times(stage).to_dict() for stage in STAGES},
        "whole_ms": measured.times().to_dict(),
        "with_decoding_ms": Times.of(result.with_decoding(measured)).to_dict(),
        "images_per_second": round(1000 / measured.times().median, 3),
        "ratio": round(result.ratio(measured), 4),
        "gflops_per_second": round(measured.gflops_per_second, 1),
        "share_of_peak": None if share is None else round(share, 4),
        "peak_memory_mib": {name: round(value, 1) for name, value in measured.memory.items()},
    }


def choice_table(choice: Choice) -> Table:
    """Return the presets with their times here and the paper's accuracy; the best is strong."""
    height, width = choice.size
    rows = [
        (
            candidate.preset,
            f"{candidate.miou:.1f}",
            *candidate.profile.cells(),
            f"{candidate.times.median:.1f}",
            f"{candidate.times.p95:.1f}" if candidate.images > 1 else "-",
            f"{1000 / candidate.times.median:.1f}",
            "yes" if candidate.holds else "no",
        )
        for candidate in choice.candidates
    ]
    return Table(
        ("preset", "paper", "params", "MACs", "median", "p95", "fps", "holds"),
        rows,
        title=f"ms per image of {height}x{width} by {choice.engine}; {choice.fps:g} images/s allow "
        f"{1000 / choice.fps:.1f}",
        strong=frozenset(i for i, c in enumerate(choice.candidates) if c is choice.best),
    )


def choice_verdict(choice: Choice) -> str:
    """Return the answer in a sentence."""
    height, width = choice.size
    if choice.best is not None:
        return (
            f"{choice.best.preset} is the most accurate (by the paper's mIoU) that holds "
            f"{choice.fps:g} images/s at {height}x{width} here: 95 % of the images took at most "
            f"{choice.best.times.p95:.1f} ms"
        )
    none = f"no preset holds {choice.fps:g} images/s at {height}x{width} here"
    if choice.smaller_size is None:
        return f"{none}, nor at any smaller size tried; take a faster device or a lower `fps`"
    out = choice.smaller_size
    return (
        f"{none}; {out.preset} does at {out.size[0]}x{out.size[1]}, where 95 % of the images took "
        f"at most {out.times.p95:.1f} ms"
    )


def choice_notes(choice: Choice) -> list[str]:
    """Return notes for reading the table, a line each."""
    notes = [
        "holds: the 95th percentile from a uint8 image in memory to uint8 labels is within the "
        "rate; decoding is not counted",
        "paper: its mIoU on Cityscapes val, in per cent, as printed; not measured here",
        "random weights: their labels are near noise, which takes a little longer than the labels "
        "of a trained network",
    ]
    if len(choice.engines) > 1:
        tried = ", ".join(f"{name} {ms:.1f} ms" for name, ms in choice.engines.items())
        notes.append(f"engine: the fastest for {choice.candidates[0].preset} ({tried})")
    if any(candidate.images == 1 for candidate in choice.candidates):
        notes.append("without p95: far too slow, so a single image was timed")
    return notes


def choice_dict(choice: Choice) -> dict[str, Any]:
    """Return everything for JSON: times in milliseconds."""
    out = choice.smaller_size
    smaller_size = None
    if out is not None:
        smaller_size = {"name": out.preset, "size": out.size, "whole_ms": out.times.to_dict()}
    return {
        "fps": choice.fps,
        "size": choice.size,
        "engine": choice.engine,
        "engines_ms": {name: round(ms, 4) for name, ms in choice.engines.items()},
        "presets": [
            {
                "name": candidate.preset,
                "paper_cityscapes_miou": candidate.miou,
                "parameters": candidate.profile.parameters,
                "macs": candidate.profile.macs,
                "whole_ms": candidate.times.to_dict(),
                "images": candidate.images,
                "holds": candidate.holds,
            }
            for candidate in choice.candidates
        ],
        "best": choice.best.preset if choice.best else None,
        "smaller_size": smaller_size,
        "environment": describe_environment(PACKAGES),
    }
