"""What MIR and HDR depend on: batch size with its extrapolation, choices, and layers."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from launch.ledger import Point, read_points
from launch.plots.panels import COLOURS, RATIOS, Figures, counted, legend_below, page
from launch.results.dependence import extrapolated
from launch.runs import Run, read_summary, the_only

_MARKERS = ("o", "s", "^")
_CHOICES = ("order", "split", "features", "classes", "against")
_METRICS = {"mir": "MIR", "corrected_mir": "corrected MIR", "hdr": "HDR"}
_ENTROPIES = {
    "entropy_features": "entropy of features (nats)",
    "entropy_head": "entropy of head rows (nats)",
}


def figures(runs: list[Run]) -> Figures:
    """Draws `dependence_batch_size`, `dependence_choices` and `dependence_layers`.

    Raises:
      UserError: there are several runs, or no point is finished yet.
    """
    run = the_only(runs)
    points, n = read_points(run.workdir), run.config["batch_size"]
    drawn = {
        "dependence_batch_size": _batch_sizes(points),
        "dependence_choices": _choices(points, n),
    }
    if any(p["factor"] == "layer" for p in points):
        drawn["dependence_layers"] = _layers(points, n)
    seeds = counted({len({p["seed"] for p in points})}, "seed")
    for figure in drawn.values():
        figure.suptitle(f"{_network(run)}, {seeds}")
    return drawn


def _network(run: Run) -> str:
    """Data set and network of the run that is measured."""
    summary = read_summary(run.workdir)
    return f"{summary['dataset']}, {summary['model']}"


def _steps(points: list[Point]) -> dict[int, str]:
    """Colours of the steps."""
    return dict(zip(sorted({p["step"] for p in points}), COLOURS, strict=False))


def _batch_sizes(points: list[Point]) -> Figure:
    figure, axes = page(3, 2, 8.6)
    panels = dict(zip(_METRICS | _ENTROPIES, axes.flat, strict=False))
    base = [p for p in points if p["factor"] == "base"]
    sized = [p for p in points if p["factor"] == "batch size"]
    for i, (step, colour) in enumerate(_steps(points).items()):
        own = _by(lambda p: int(p["value"]), [p for p in sized if p["step"] == step], "batch")
        own |= _by(lambda p: p["images"], [p for p in base if p["step"] == step], "all")
        for metric, axis in panels.items():
            _curve(axis, own, metric, colour, f"{_MARKERS[i % 3]}-", f"step {step:,}")
        _curve(panels["mir"], own, "chance_mir", colour, ":", f"step {step:,}, chance")
    for metric, axis in panels.items():
        axis.set_ylabel((_METRICS | _ENTROPIES)[metric])
        if metric in _METRICS:
            axis.set_ylim(*RATIOS)
    _extrapolations(axes[2, 1], points)
    for axis in axes.flat:
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        axis.set_xlabel("images in a batch (last point: all)")
        axis.grid(alpha=0.3, linewidth=0.6)
    axes[2, 1].set_xlabel("largest batches extrapolated from")
    legend_below(figure, axes[0, 0], 3)
    return figure


def _by(key, points: list[Point], size: str) -> dict[int, list[dict[str, float]]]:
    """Metrics of all seeds by a key."""
    found: dict[int, list[dict[str, float]]] = {}
    for p in points:
        found.setdefault(key(p), []).append(p[size])
    return found


def _curve(
    axis: Axes,
    found: dict[int, list[dict[str, float]]],
    metric: str,
    colour: str,
    style: str,
    label: str,
) -> None:
    """Mean over seeds and their range."""
    x = sorted(found)
    values = [[m[metric] for m in found[at]] for at in x]
    axis.plot(x, [np.mean(v) for v in values], style, color=colour, markersize=4, label=label)
    if max(map(len, values), default=0) > 1:
        low, high = ([f(v) for v in values] for f in (min, max))
        axis.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def _extrapolations(axis: Axes, points: list[Point]) -> None:
    """Errors with their intervals; hollow where the series has not converged."""
    found = list(extrapolated(points))
    for i, (step, colour) in enumerate(_steps(points).items()):
        for p, whole in found:
            if p["step"] != step:
                continue
            n, at = int(p["value"]) * 1.07 ** (i - 1), p["extrapolated"]
            error, width = at["value"] - whole, at["half_width"]
            marker = _MARKERS[i % 3]
            if width is None:
                axis.plot(n, error, marker, color=colour, markerfacecolor="none", markersize=4)
            else:
                axis.errorbar(n, error, width, fmt=marker, color=colour, markersize=4, capsize=2)
    axis.axhline(0, color="0.25", linewidth=0.8)
    axis.set_ylabel("extrapolated MIR - MIR of all")


def _choices(points: list[Point], n: int) -> Figure:
    """A row per choice, with the base at the top; hollow markers stand for all images."""
    base = [p for p in points if p["factor"] == "base"]
    rows: dict[str, list[Point]] = {"features against head": base}
    for p in points:
        if p["factor"] in _CHOICES:
            rows.setdefault(f"{p['factor']}: {p['value']}", []).append(p)
    figure, axes = page(1, 3, 1.6 + 0.24 * len(rows), sharey=True)
    for axis, (metric, title) in zip(axes[0], _METRICS.items(), strict=True):
        for i, (step, colour) in enumerate(_steps(points).items()):
            for size, face in (("batch", colour), ("all", "none")):
                at, means = _row_means(rows, step, size, metric)
                label = f"step {step:,}, {f'n = {n}' if size == 'batch' else 'all'}"
                (line,) = axis.plot(means, at + 0.2 * (i - 1), _MARKERS[i % 3], label=label)
                line.set(color=colour, markerfacecolor=face, markersize=4)
        axis.set_xlabel(title)
        axis.grid(alpha=0.3, linewidth=0.6)
        axis.axhline(0.5, color="0.6", linewidth=0.8)
    axes[0, 0].set_yticks(range(len(rows)), list(rows))
    axes[0, 0].invert_yaxis()
    legend_below(figure, axes[0, 0], 3)
    return figure


def _row_means(
    rows: dict[str, list[Point]], step: int, size: str, metric: str
) -> tuple[np.ndarray, list[float]]:
    """Places of the rows that a step has, and means over seeds."""
    values = [[p[size][metric] for p in own if p["step"] == step] for own in rows.values()]
    found = [(i, float(np.mean(v))) for i, v in enumerate(values) if v]
    return np.array([i for i, _ in found], float), [mean for _, mean in found]


def _layers(points: list[Point], n: int) -> Figure:
    names = list(dict.fromkeys(p["value"] for p in points if p["factor"] == "layer"))
    figure, axes = page(1, 3, 3.4, sharey=True)
    for axis, (metric, title) in zip(axes[0], _METRICS.items(), strict=True):
        for i, (step, colour) in enumerate(_steps(points).items()):
            at_step = [p for p in points if p["step"] == step]
            layer = [p for p in at_step if p["factor"] == "layer"]
            found = _by(lambda p: names.index(p["value"]), layer, "batch")
            found |= _by(
                lambda p: len(names), [p for p in at_step if p["factor"] == "base"], "batch"
            )
            _curve(axis, found, metric, colour, f"{_MARKERS[i % 3]}-", f"step {step:,}")
        axis.set_xticks(range(len(names) + 1), [*names, "features"], rotation=60, ha="right")
        axis.set_title(f"{title}, n = {n}")
        axis.grid(alpha=0.3, linewidth=0.6)
    axes[0, 0].set_ylim(*RATIOS)
    legend_below(figure, axes[0, 0], 3)
    return figure
