"""Few-shot fine-tuning: accuracy against shots, paired differences, weights, and measures."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infojax.errors import UserError
from launch.ledger import Point, read_points
from launch.plots.panels import COLOURS, RATIOS, Figures, label_edges, legend_below, limit, page
from launch.results.comparisons import difference
from launch.runs import Run, the_only

_METHODS = {"ce": "CE", "ce_texts": "CE, texts as samples", "ce_cma": "CE + CMA"}
_HEADS = {
    "linear_probe": "linear probe",
    "image_adapter": "image adapter",
    "two_adapters": "two adapters",
}
_MEASURES = {
    "modality_gap": "modality gap",
    "class_entropies": "entropy of image and text\nfeatures of a class, mean",
    "mir": "MIR, images and texts",
    "hdr": "HDR, images and texts",
}
_MARKERS = ("o", "s", "^")


def figures(runs: list[Run]) -> Figures:
    """Draws accuracy, differences, weights, and for each head the measures.

    Raises:
      UserError: there are several runs, or the run has recorded nothing yet.
    """
    run = the_only(runs)
    recorded = read_points(run.workdir)
    before = {p["model"]: p for p in recorded if not p.get("head")}
    points = [p for p in recorded if p.get("head")]
    if not points:
        raise UserError(f"{run.workdir} holds no finished point yet")
    count = f"{len(points[0]['alignment_weight'])} seeds of shots"
    title = "Few-shot fine-tuning on frozen features"
    drawn = {
        "crossmodal_accuracy": _grid(points, before, _accuracy, "test accuracy (%)"),
        "crossmodal_differences": _grid(points, before, _differences, "difference to CE (points)"),
        "crossmodal_weights": _grid(points, before, _weights, "test accuracy (%)"),
    }
    notes = (
        f"mean and standard deviation over {count}",
        f"mean over {count} with 95 % confidence interval",
        f"mean over {count} at every weight of CMA",
    )
    for figure, note in zip(drawn.values(), notes, strict=True):
        figure.suptitle(f"{title}:\n{note}")
    for head in dict.fromkeys(point["head"] for point in points):
        figure = _measures([point for point in points if point["head"] == head], before)
        figure.suptitle(f"{title}, {_HEADS[head]}:\non test images, {notes[0]}")
        drawn[f"crossmodal_measures_{head}"] = figure
    return drawn


def _grid(
    points: list[Point],
    before: dict[str, Point],
    draw: Callable[[Axes, list[Point], Point], None],
    label: str,
) -> Figure:
    """One panel for each head (row) and model (column)."""
    heads = list(dict.fromkeys(point["head"] for point in points))
    models, sharey = list(before), "row" if draw is _differences else "col"
    figure, axes = page(len(heads), len(models), 0.8 + 2.4 * len(heads), sharex=True, sharey=sharey)
    for row, head in zip(axes, heads, strict=True):
        for axis, model in zip(row, models, strict=True):
            own = [p for p in points if (p["head"], p["model"]) == (head, model)]
            draw(axis, sorted(own, key=lambda p: p["shots"]), before[model])
            if draw is not _differences:
                axis.set_ylim(100 * RATIOS[0], 100 * RATIOS[1])
            axis.grid(alpha=0.3, linewidth=0.6)
        row[0].set_ylabel(f"{_HEADS[head]}\n{label}")
    label_edges(axes, models, "weight λ of CMA" if draw is _weights else "shots")
    legend_below(figure, axes[0, 0], 6)
    return figure


def _accuracy(axis: Axes, points: list[Point], before: Point) -> None:
    zero_shot = 100 * before["zero_shot"]["test"]
    axis.axhline(zero_shot, color="0.4", linestyle=":", linewidth=1.4, label="zero-shot")
    for i, (method, name) in enumerate(_METHODS.items()):
        values = 100 * np.array([p["test_accuracy"][method] for p in points])
        _bars(axis, i, points, values.mean(1), _deviation(values), name)


def _differences(axis: Axes, points: list[Point], before: Point) -> None:
    axis.axhline(0, color="0.4", linestyle=":", linewidth=1.4)
    for i, (method, name) in enumerate(_METHODS.items()):
        if method == "ce":
            continue
        found = [difference(p["test_accuracy"][method], p["test_accuracy"]["ce"]) for p in points]
        means = np.array([100 * d["mean"] for d in found])
        half = [0 if d["low"] is None else 100 * (d["mean"] - d["low"]) for d in found]
        _bars(axis, i, points, means, half, name)


def _weights(axis: Axes, points: list[Point], before: Point) -> None:
    for i, point in enumerate(points):
        weights = [float(w) for w in point["by_weight"]]
        means = [100 * np.mean(x["test"]) for x in point["by_weight"].values()]
        colour, shots = COLOURS[i % len(COLOURS)], point["shots"]
        label = f"{shots} shot" + "s" * (shots > 1)
        axis.plot(weights, means, "o-", color=colour, markersize=3, label=label)
        axis.axhline(
            100 * np.mean(point["test_accuracy"]["ce"]), color=colour, linestyle=":", linewidth=1
        )
    axis.plot([], [], ":", color="0.4", label="CE alone")


def _measures(points: list[Point], before: dict[str, Point]) -> Figure:
    """One panel for each measure (row) and model (column)."""
    models = list(before)
    figure, axes = page(len(_MEASURES), len(models), 9, sharex=True, sharey="row")
    for row, (measure, label) in zip(axes, _MEASURES.items(), strict=True):
        for axis, model in zip(row, models, strict=True):
            own = sorted((p for p in points if p["model"] == model), key=lambda p: p["shots"])
            start = np.mean(before[model]["measures"][measure])
            axis.axhline(start, color="0.4", linestyle=":", linewidth=1.4, label="before")
            for i, (method, name) in enumerate(_METHODS.items()):
                values = np.array([p["measures"][measure][method] for p in own])
                values = values.reshape(*values.shape[:2], -1).mean(2)  # over classes, if any
                _bars(axis, i, own, values.mean(1), _deviation(values), name)
            limit(axis, measure)
            axis.grid(alpha=0.3, linewidth=0.6)
        row[0].set_ylabel(label)
    label_edges(axes, models, "shots")
    legend_below(figure, axes[0, 0], 4)
    return figure


def _bars(axis: Axes, i: int, points: list[Point], means, errors, name: str) -> None:
    """A line over shots on a log axis, each slightly offset from the others."""
    shots = np.array([p["shots"] for p in points])
    axis.errorbar(
        shots * 1.05 ** (i - 1),
        means,
        errors,
        color=COLOURS[i],
        marker=_MARKERS[i],
        markersize=4,
        linewidth=1.4,
        capsize=2,
        label=name,
    )
    axis.set_xscale("log", base=2)
    axis.set_xticks(shots, [str(x) for x in shots])
    axis.minorticks_off()


def _deviation(values: np.ndarray) -> np.ndarray:
    """Sample standard deviation over seeds [points]; 0 for one seed."""
    return np.std(values, 1, ddof=1) if values.shape[1] > 1 else np.zeros(len(values))
