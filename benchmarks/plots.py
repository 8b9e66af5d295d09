"""Figures of the benchmarks, drawn from their records."""

from pathlib import Path
from typing import Any

import matplotlib

from benchmarks import tables

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# Okabe & Ito's palette, safe for the colour-blind; markers distinguish lines without colour.
_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"]
_MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
_LABELS = {"seconds": "time (s)", "memory_mib": "peak memory (MiB)"}


def draw(found: dict[str, Any], folder: Path) -> list[Path]:
    """Draws one figure per measured section; returns their paths."""
    drawing = {"metrics": _metrics, "population": _population, "grokking": _grokking}
    paths = []
    for section, function in drawing.items():
        if found.get(section):
            figure = function(found[section])
            paths.append(folder / f"{section}.png")
            figure.savefig(paths[-1], dpi=150)
            plt.close(figure)
    return paths


def _metrics(records: list[dict[str, Any]]) -> Any:
    """Time with and without the gradient, and memory, against n; one column per (d, C)."""
    shapes = sorted({(r["d"], r["classes"]) for r in records if r["gradient"]})
    rows = [(False, "seconds"), (True, "seconds"), (False, "memory_mib")]
    figure = plt.figure(figsize=(1.5 + 3.2 * len(shapes), 9), layout="constrained")
    axes = figure.subplots(len(rows), len(shapes), sharex=True, sharey="row", squeeze=False)
    names = list(dict.fromkeys(r["contender"] for r in records if r["status"] == "ok"))
    for row, (gradient, what) in zip(axes, rows, strict=True):
        for axis, (d, classes) in zip(row, shapes, strict=True):
            here = [r for r in records if (r["d"], r["classes"]) == (d, classes)]
            here = [r for r in here if r["gradient"] == gradient and r["status"] == "ok"]
            _lines(axis, here, names, "n", what)
            kind = "values and gradient" if gradient else "values"
            axis.set_title(f"{kind}, d = {d}, C = {classes}", fontsize=9)
    for row, (_, what) in zip(axes, rows, strict=True):
        row[0].set_ylabel(_LABELS[what])
    for axis in axes[-1]:
        axis.set_xlabel("samples n")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2 * len(shapes), fontsize=9)
    figure.suptitle("MIR and HDR at the sample level, float32")
    return figure


def _population(records: list[dict[str, Any]]) -> Any:
    """Time against N at the smallest shape, beside the one matrix product."""
    d, classes = min((r["d"], r["classes"]) for r in records)
    records = [r for r in records if r["status"] == "ok" and (r["d"], r["classes"]) == (d, classes)]
    figure, axis = plt.subplots(figsize=(6, 4.5), layout="constrained")
    _lines(axis, records, list(dict.fromkeys(r["contender"] for r in records)), "n", "seconds")
    axis.set_title(f"MIR and HDR of a whole data set, d = {d}, C = {classes}, float32", fontsize=10)
    axis.set_xlabel("samples N")
    axis.set_ylabel(_LABELS["seconds"])
    axis.legend(fontsize=8)
    return figure


def _grokking(records: list[dict[str, Any]]) -> Any:
    records = [r for r in records if r["status"] == "ok"]
    figure, axis = plt.subplots(figsize=(7, 2.6), layout="constrained")
    times = [r["milliseconds_per_step"] for r in records]
    bars = axis.barh(
        [r["contender"] for r in records], times, color=_COLOURS[: len(records)], label="median"
    )
    axis.bar_label(bars, [tables.milliseconds(x) for x in times], padding=3)
    axis.set_xscale("log")
    axis.set_xlim(min(times) / 3, max(times) * 3)
    axis.invert_yaxis()
    axis.set_xlabel("time of a training step (ms)")
    axis.set_title("Grokking, p = 113, full batch of 3,830 examples", fontsize=10)
    return figure


def _lines(axis: Any, records: list[dict[str, Any]], names: list[str], x: str, y: str) -> None:
    """One line per contender, with the same colour and marker in every panel."""
    axis.set_xscale("log")
    axis.grid(alpha=0.3)
    for i, name in enumerate(names):
        found = [r for r in records if r["contender"] == name and r.get(y, 0) > 0]
        points = sorted((r[x], r[y]) for r in found)
        style = {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKERS[i % len(_MARKERS)]}
        axis.plot([p[0] for p in points], [p[1] for p in points], label=name, markersize=5, **style)
        if points:  # an empty axis cannot be logarithmic
            axis.set_yscale("log")
