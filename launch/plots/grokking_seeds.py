"""Figures of a grokking run of several seeds: bands, each seed, and which measure comes first."""

import math
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from launch.plots.panels import (
    COLOURS,
    STYLES,
    Figures,
    legend_above,
    legend_below,
    page,
    plain_numbers,
)
from launch.results import ensembles
from launch.results.ensembles import Condition
from launch.results.transitions import ACCURACY, measures
from launch.runs import Run

_AROUND = (0.25, 2.5)  # range that is drawn, as multiples of the onset
_COLUMNS = 4  # of the page of all seeds


class Series(NamedTuple):
    """A curve: its name, metric, and look."""

    name: str
    metric: str
    colour: str
    style: str


def quantities(n: int) -> dict[str, list[Series]]:
    """What every figure of grokking shows: MIR and HDR at both levels, and accuracy."""
    levels = (f"n = {n}", f"_{n}", ""), ("class level", "", "class_")
    found = {
        "accuracy": [
            Series("test", "test/accuracy", COLOURS[0], STYLES[0]),
            Series("train", "train/accuracy", COLOURS[6], STYLES[1]),
        ]
    }
    for name in ("mir", "hdr"):
        found[name.upper()] = [
            Series(level, f"test/{prefix}{name}{end}", COLOURS[i], STYLES[i])
            for i, (level, end, prefix) in enumerate(levels)
        ]
    return found


def figures(run: Run, task: str) -> Figures:
    """Draws `grokking_aligned`, `grokking_seeds` and `grokking_order` of a run of several seeds."""
    n = max(run.config["metric_batch_sizes"])
    found = ensembles.read(run)
    return {
        "grokking_aligned": _aligned(found, n, task),
        "grokking_seeds": _every_seed(found, n, task),
        "grokking_order": _order(found, n, task),
    }


def band(axis: Axes, x: np.ndarray, values: np.ndarray, series: Series) -> None:
    """Draws the median over seeds [seeds, t] and the quartiles."""
    low, middle, high = np.nanpercentile(values, [25, 50, 75], axis=0)
    axis.plot(x, middle, series.style, color=series.colour, linewidth=1.5, label=series.name)
    axis.fill_between(x, low, high, color=series.colour, alpha=0.2, linewidth=0)


def over_epochs(axis: Axes, found: Condition, shown: list[Series]) -> None:
    """Draws bands at the epochs from 1 on that all seeds have reached."""
    for series in shown:
        columns = [{r["step"]: r[series.metric] for r in h if r["step"]} for h in found.histories]
        steps = sorted(set.intersection(*map(set, columns)))
        values = np.array([[column[step] for step in steps] for column in columns])
        band(axis, np.array(steps), values, series)
    log_axis(axis)


def _aligned(found: Condition, n: int, task: str) -> Figure:
    """Bands over epochs, and over epochs in units of each seed's onset."""
    figure, axes = page(3, 2, 6.6, sharex="col", sharey="row")
    chosen = {i: at for i, at in enumerate(found.onsets()) if found.generalised[i] and at}
    for (left, right), (label, shown) in zip(axes, quantities(n).items(), strict=True):
        over_epochs(left, found, shown)
        for series in shown if chosen else ():
            x, values = _relative(found, chosen, series.metric)
            band(right, x, values, series)
        right.axvline(1, color="0.4", linewidth=0.8)
        log_axis(right, narrow=True)
        left.set_ylabel(f"{label} (test)" if label != "accuracy" else label)
        left.set_ylim(-0.03, 1.03)
        legend_above(left)
    axes[-1, 0].set_xlabel("epoch")
    axes[-1, 1].set_xlabel("epoch / epoch of half the rise of test accuracy")
    axes[0, 0].set_title(f"all {len(found.seeds)} seeds", pad=16)
    axes[0, 1].set_title(f"the {len(chosen)} that generalise, aligned at the onset", pad=16)
    figure.suptitle(f"Grokking: {task}, median and quartiles over seeds")
    return figure


def _relative(
    found: Condition, onsets: dict[int, float], metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """A metric of seeds at common multiples of their onset; NaN outside the records."""
    at = np.geomspace(*_AROUND, 200)
    rows = []
    for i, onset in onsets.items():
        history = [record for record in found.histories[i] if record["step"] > 0]
        steps = np.log([record["step"] / onset for record in history])
        values = [record[metric] for record in history]
        rows.append(np.interp(np.log(at), steps, values, left=np.nan, right=np.nan))
    table = np.array(rows)
    known = np.isfinite(table).all(axis=0)  # a band is over the same seeds everywhere
    return at[known], table[:, known]


def log_axis(axis: Axes, narrow: bool = False) -> None:
    """Sets a logarithmic x axis with plain numbers, in a narrow range also at 2 and 5."""
    axis.set_xscale("log")
    plain_numbers(axis.xaxis, (1, 2, 5) if narrow else (1,))
    axis.grid(alpha=0.3, linewidth=0.6)


def limit_to(axis: Axes, values: list[float]) -> None:
    """Shows some positive values with a margin, and the value 1."""
    axis.set_xlim(min([0.8, *values]) / 1.3, max([1.25, *values]) * 1.3)


def _every_seed(found: Condition, n: int, task: str) -> Figure:
    """A panel for each seed, with its onset."""
    rows = math.ceil(len(found.seeds) / _COLUMNS)
    figure, axes = page(rows, _COLUMNS, 1.0 + 1.6 * rows, sharex=True, sharey=True)
    shown = [
        series._replace(name=f"{label}, {series.name}", colour=COLOURS[i])
        for i, (label, several) in enumerate(quantities(n).items())
        for series in several
        if series.metric != "train/accuracy"
    ]
    for i, axis in enumerate(axes.flat):
        if i >= len(found.seeds):
            axis.set_axis_off()
            continue
        records = [record for record in found.histories[i] if record["step"] > 0]
        steps = [record["step"] for record in records]
        for name, metric, colour, style in shown:
            values = [r[metric] for r in records]
            axis.plot(steps, values, style, color=colour, linewidth=1.1, label=name)
        if found.generalised[i] and (onset := found.onset(i)):
            axis.axvline(onset, color="0.4", linewidth=0.8)
        log_axis(axis)
        axis.set_ylim(-0.03, 1.03)
        axis.set_title(f"seed {found.seeds[i]}", fontsize="small")
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    legend_below(figure, axes[0, 0], 3)
    figure.suptitle(f"Grokking: {task}; vertical line: half the rise of test accuracy")
    return figure


def _order(found: Condition, n: int, task: str) -> Figure:
    """When each measure makes its transition, relative to test accuracy's."""
    leads = ensembles.leads_of(found)
    names = [name for name, lead in leads.items() if lead["half"]]
    figure, axes = page(1, 2, 1.6 + 0.26 * max(len(names), 1), sharey=True)
    parts = {"start": "a tenth of the way", "half": "half of the way"}
    for axis, (part, title) in zip(axes[0], parts.items(), strict=True):
        for y, name in enumerate(names):
            ratios = _ratios(found, name, part)
            axis.plot(ratios, [y] * len(ratios), "o", color=COLOURS[6], alpha=0.3, markersize=3)
            interval(axis, leads[name][part]["ratio"], y)
        axis.axvline(1, color="0.4", linewidth=0.8)
        log_axis(axis, narrow=True)
        limit_to(axis, [x for name in names for x in _ratios(found, name, part)])
        axis.set_title(title)
    texts = measures(n)
    rows = [f"{texts[name].text} ({leads[name]['seeds']})" for name in names]
    axes[0, 0].set_yticks(range(len(names)), rows)
    axes[0, 0].invert_yaxis()
    figure.supxlabel("epoch / epoch of the same part of the rise of test accuracy", fontsize=9)
    figure.suptitle(
        f"Grokking: {task}; seeds (their number), geometric mean, 95 % interval\n"
        "left of 1: before test accuracy"
    )
    return figure


def _ratios(found: Condition, name: str, part: str) -> list[float]:
    """The epochs of a transition divided by test accuracy's, for the seeds compared."""
    pairs = [(found.found[i][name], found.found[i][ACCURACY]) for i in found.delayed()]
    return [getattr(m, part) / getattr(a, part) for m, a in pairs if m and a]


def interval(axis: Axes, ratio: dict[str, Any], y: float) -> None:
    """Draws a mean and its interval on a horizontal line."""
    if ratio["low"] is not None:
        axis.plot([ratio["low"], ratio["high"]], [y, y], color=COLOURS[1], linewidth=1.5)
    axis.plot(ratio["mean"], y, "D", color=COLOURS[1], markersize=4.5)
