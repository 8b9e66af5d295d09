"""Figure 5 and table 2: metrics against the points of a grid, and paired differences."""

import json

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from infojax.errors import UserError
from launch.plots.panels import COLOURS, Figures
from launch.runs import Run, the_only


def figures(runs: list[Run]) -> Figures:
    """Draws `sweep`: a column a metric, above its values and below its paired differences."""
    run = the_only(runs)
    path = run.workdir / "summary.json"
    if not path.exists():
        raise UserError(f"{run.workdir} holds no finished point yet: it has no summary.json")
    summary = json.loads(path.read_text())
    metrics = list(summary["points"][0]["metrics"])
    figure, grid = plt.subplots(
        2, len(metrics), figsize=(3.6 * len(metrics), 6.5), sharex="col", layout="constrained"
    )
    grid = np.reshape(grid, (2, len(metrics)))
    x, labels = _positions(summary["points"])
    for (above, below), metric in zip(grid.T, metrics, strict=True):
        found = [point["metrics"][metric] for point in summary["points"]]
        _values(above, x, found, metric, "o" if labels else "-o")
        _differences(below, x, found)
        below.set_xlabel(", ".join(summary["points"][0]["values"]), fontsize="small")
        if labels:
            below.set_xticks(x, labels, rotation=45, ha="right", fontsize="small")
    grid[1, 0].set_ylabel("difference from the first point\n(paired by seed, 95 % interval)")
    seeds = f"{len(summary['seeds'])} seeds: each, and mean ± standard deviation"
    model = f"{summary['model']}, " if "model" in summary else ""
    figure.suptitle(f"{run.config['dataset']}, {model}{seeds}")
    return {"sweep": figure}


def _positions(points: list[dict]) -> tuple[np.ndarray, list[str]]:
    """Numbers where the grid has one numeric field, else one place a point, with labels."""
    rows = [list(point["values"].values()) for point in points]
    if len(rows[0]) == 1 and all(isinstance(row[0], int | float) for row in rows):
        return np.array([float(row[0]) for row in rows]), []
    return np.arange(len(rows), dtype=float), [", ".join(f"{v}" for v in row) for row in rows]


def _values(axis: Axes, x: np.ndarray, found: list[dict], metric: str, style: str) -> None:
    for i, of_seeds in enumerate(zip(*(f["by_seed"] for f in found), strict=True)):
        axis.plot(
            x, of_seeds, "o", color=COLOURS[-1], alpha=0.35, markersize=3, label="seed" * (i == 0)
        )
    means, deviations = [f["mean"] for f in found], [f["std"] or 0 for f in found]
    axis.errorbar(x, means, deviations, fmt=style, color=COLOURS[0], capsize=3, markersize=4)
    axis.set_title(metric, fontsize="medium")
    axis.grid(alpha=0.3, linewidth=0.6)


def _differences(axis: Axes, x: np.ndarray, found: list[dict]) -> None:
    axis.axhline(0, color=COLOURS[-1], linewidth=0.8)
    pairs = [(at, f["difference"]) for at, f in zip(x, found, strict=True) if f["difference"]]
    means = np.array([d["mean"] for _, d in pairs])
    half = np.array([0 if d["low"] is None else d["high"] - d["mean"] for _, d in pairs])
    places = [at for at, _ in pairs]
    axis.errorbar(places, means, half, fmt="s", color=COLOURS[1], capsize=3, markersize=4)
    axis.grid(alpha=0.3, linewidth=0.6)
