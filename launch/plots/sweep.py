"""Figure 5 and table 2: metrics against the points of a grid, and paired differences."""

import numpy as np
from matplotlib.axes import Axes

from launch.labels import field, label, setting_value
from launch.plots.panels import COLOURS, Figures, limit, mark_collapse, page
from launch.plots.references import at_collapse, of_metric
from launch.runs import Run, read_summary, the_only


def figures(runs: list[Run]) -> Figures:
    """Draws `sweep`: one row per metric, with its values and its paired differences."""
    run = the_only(runs)
    summary = read_summary(run.workdir)
    metrics = list(summary["points"][0]["metrics"])
    figure, axes = page(len(metrics), 2, 1.3 + 1.9 * len(metrics), sharex=True)
    fields, x, labels = _positions(summary["points"])
    collapsed = at_collapse(runs)
    for (left, right), metric in zip(axes, metrics, strict=True):
        found = [point["metrics"][metric] for point in summary["points"]]
        _values(left, x, found, "o" if labels else "-o")
        limit(left, metric)
        value = of_metric(metric, collapsed)
        if value is not None:
            mark_collapse(left, value)
        left.set_ylabel("\n".join(filter(None, (label(metric).axis, label(metric).detail))))
        _differences(right, x, found)
    for axis in axes[-1]:
        axis.set_xlabel(fields)
        if labels:
            axis.set_xticks(x, labels, rotation=45, ha="right")
    axes[0, 1].set_title("difference from the first point\n(paired by seed, 95 % interval)")
    seeds = f"{len(summary['seeds'])} seeds: each, and mean ± standard deviation"
    if collapsed["mir"] is not None:
        seeds += "; dotted: at collapse"
    about = [run.config["dataset"]] if "dataset" in run.config else []
    about += [summary["model"]] if "model" in summary else []
    figure.suptitle("\n".join(filter(None, (", ".join(about), seeds))))
    return {"sweep": figure}


def _positions(points: list[dict]) -> tuple[str, np.ndarray, list[str]]:
    """Names of the fields that vary, and numbers where that is one numeric field.

    Otherwise one place for each point, and a label for each.
    """
    names = list(points[0]["values"])
    names = [n for n in names if len({str(p["values"][n]) for p in points}) > 1] or names
    rows, fields = [[p["values"][n] for n in names] for p in points], ", ".join(map(field, names))
    if len(names) == 1 and all(isinstance(row[0], int | float) for row in rows):
        return fields, np.array([float(row[0]) for row in rows]), []
    labels = [", ".join(map(setting_value, row)) for row in rows]
    return fields, np.arange(len(rows), dtype=float), labels


def _values(axis: Axes, x: np.ndarray, found: list[dict], style: str) -> None:
    for i, of_seeds in enumerate(zip(*(f["by_seed"] for f in found), strict=True)):
        axis.plot(
            x, of_seeds, "o", color=COLOURS[-1], alpha=0.35, markersize=3, label="seed" * (i == 0)
        )
    means, deviations = [f["mean"] for f in found], [f["std"] or 0 for f in found]
    axis.errorbar(x, means, deviations, fmt=style, color=COLOURS[0], capsize=3, markersize=4)
    axis.grid(alpha=0.3, linewidth=0.6)


def _differences(axis: Axes, x: np.ndarray, found: list[dict]) -> None:
    axis.axhline(0, color=COLOURS[-1], linewidth=0.8)
    pairs = [(at, f["difference"]) for at, f in zip(x, found, strict=True) if f["difference"]]
    means = np.array([d["mean"] for _, d in pairs])
    half = np.array([0 if d["low"] is None else d["high"] - d["mean"] for _, d in pairs])
    places = [at for at, _ in pairs]
    axis.errorbar(places, means, half, fmt="s", color=COLOURS[1], capsize=3, markersize=4)
    axis.grid(alpha=0.3, linewidth=0.6)
