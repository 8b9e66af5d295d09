"""The panels that figures are made of. Matplotlib is set up here.

Every figure is `WIDTH` inches wide, as a page is; legends do not cover curves; ratios between 0 and
1 are drawn on the whole of that range, everything else on the range of its values.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter

from infojax.errors import UserError
from launch.labels import label as named
from launch.runs import Run, model_name

matplotlib.rcParams.update(
    {
        "font.size": 9,
        "figure.titlesize": 10,
        "axes.titlesize": 9,
        "legend.fontsize": 8,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
    }
)

Figures = dict[str, Figure]
WIDTH = 7.0  # inches of every figure

# Okabe & Ito's colours: distinct for colour-blind readers and, by lightness, in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", ":")
RATIOS = (-0.03, 1.03)
_LETTER = 0.06  # inches of a legend's letters, on average
_HANDLE = 0.5  # inches of the line before each name


def require_records(runs: list[Run]) -> None:
    """Raises UserError for a run without records."""
    for run in runs:
        if not run.histories:
            raise UserError(
                f"{run.workdir} holds no records yet: none in metrics.jsonl after step 0"
            )


def common_batch_sizes(runs: list[Run]) -> list[int]:
    """Returns the batch sizes of MIR and HDR that all runs share, ascending.

    Raises:
      UserError: there are none.
    """
    common = set.intersection(*(set(run.config["metric_batch_sizes"]) for run in runs))
    if not common:
        raise UserError("the runs have none of their metric_batch_sizes in common")
    return sorted(common)


def network(config: Mapping[str, Any]) -> str:
    """Describes the data set and the network of image classification."""
    return f"{config['dataset']}, {model_name(config)}"


def networks(runs: list[Run]) -> str:
    """Describes the data sets and networks of several runs."""
    return " / ".join(dict.fromkeys(network(run.config) for run in runs))


def page(rows: int, columns: int, height: float, **sharing: Any) -> tuple[Figure, np.ndarray]:
    """Returns a figure as wide as a page and its axes [rows, columns], laid out without overlap."""
    return plt.subplots(
        rows, columns, figsize=(WIDTH, height), squeeze=False, layout="constrained", **sharing
    )


def legend_below(figure: Figure, axis: Axes, columns: int, title: str | None = None) -> None:
    """Puts the legend of one axis below all panels."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles, labels, title=title, loc="outside lower center", ncols=columns, frameon=False
    )


def label_edges(axes: np.ndarray, titles: list[str], xlabel: str) -> None:
    """Writes a title above each column and the x label below the last row."""
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize="medium")
    for axis in axes[-1]:
        axis.set_xlabel(xlabel)


def panel(
    axis: Axes,
    runs: list[Run],
    series: dict[str, str],
    label: str,
    log: bool = True,
    collapse: float | None = None,
) -> None:
    """Draws series (name in the legend to name of the metric) of all runs over steps from 0 on.

    Colours tell series apart where there is one run, and runs where there are several.

    Args:
      axis: where to draw.
      runs: with records.
      series: what to draw.
      label: of the y axis.
      log: whether steps beyond the first are on a logarithmic scale.
      collapse: the value of the series at neural collapse, drawn as a line.
    """
    for i, run in enumerate(runs):
        for j, (name, metric) in enumerate(series.items()):
            colour = COLOURS[(i if len(runs) > 1 else j) % len(COLOURS)]
            parts = [run.name] * (len(runs) > 1) + [name] * (name != "")
            _curve(axis, table(run, metric), colour, STYLES[j % len(STYLES)], ", ".join(parts))
    if log:
        _log_from_zero(axis)
    if collapse is not None:
        mark_collapse(axis, collapse)
    if series:
        limit(axis, *series.values())
    axis.set_ylabel(label)
    axis.grid(alpha=0.3, linewidth=0.6)
    if len(runs) > 1 or len(series) > 1 or collapse is not None:
        legend_above(axis)


def _curve(
    axis: Axes, curve: tuple[np.ndarray, np.ndarray], colour: str, style: str, name: str
) -> None:
    """Draws the mean over seeds, and their range."""
    step, values = curve
    axis.plot(step, np.mean(values, 0), style, color=colour, linewidth=1.5, label=name)
    if len(values) > 1:
        low, high = values.min(0), values.max(0)
        axis.fill_between(step, low, high, color=colour, alpha=0.2, linewidth=0)


def _log_from_zero(axis: Axes) -> None:
    """Sets a logarithmic x axis that is linear from 0 to the first step after it."""
    steps = [x for line in axis.lines for x in np.asarray(line.get_xdata()) if x > 0]
    if steps:
        axis.set_xscale("symlog", linthresh=min(steps), linscale=0.3)
        axis.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")


def plain_numbers(axis: Axis, digits: Sequence[int]) -> None:
    """Writes the ticks of a logarithmic axis as plain numbers, at digits times powers of ten."""
    axis.set_major_locator(FixedLocator([d * 10.0**k for k in range(-9, 10) for d in digits]))
    axis.set_major_formatter(lambda x, _: f"{x:,.0f}" if x >= 1 else f"{x:g}")
    axis.set_minor_formatter(NullFormatter())


def limit(axis: Axes, *metrics: str) -> None:
    """Shows the whole range of metrics that lie between 0 and 1."""
    if all(named(metric).is_ratio for metric in metrics):
        axis.set_ylim(*RATIOS)


def mark_collapse(axis: Axes, value: float) -> None:
    """Draws a line at the value that a metric has at neural collapse."""
    axis.axhline(value, color="0.25", linestyle=(0, (1, 2)), linewidth=1.3, label="at collapse")


def legend_above(axis: Axes) -> None:
    """Puts the legend of an axis above it, in as many columns as fit."""
    place = axis.get_subplotspec()
    width = WIDTH / (place.get_gridspec().ncols if place else 1) - _HANDLE
    axis.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.1,
        columnspacing=1.2,
        ncols=_fitting_columns(axis.get_legend_handles_labels()[1], width),
        frameon=False,
    )


def _fitting_columns(names: list[str], width: float) -> int:
    """How many columns of a legend fit into a width, by the lengths of the names."""
    for columns in range(len(names), 1, -1):
        parts = np.array_split(names, columns)
        if sum(_HANDLE + _LETTER * max(map(len, part)) for part in parts) <= width:
            return columns
    return 1


def by_detail(*metrics: str) -> dict[str, str]:
    """Names metrics of one quantity for a legend: what tells them apart."""
    return {named(metric).detail: metric for metric in metrics}


def table(run: Run, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps [t] and values [seeds, t], at the steps that all seeds have reached.

    Metrics of a step's own batch begin after step 0.

    Raises:
      UserError: a record after step 0 lacks the metric.
    """
    try:
        columns = [
            {r["step"]: r[metric] for r in h if r["step"] > 0 or metric in r} for h in run.histories
        ]
    except KeyError as error:
        raise UserError(f"a record in {run.workdir} lacks {error}") from error
    steps = sorted(set.intersection(*(set(c) for c in columns)))
    return np.array(steps), np.array([[c[s] for s in steps] for c in columns])


def seeds(runs: list[Run]) -> str:
    """Describes over how many seeds lines and bands are drawn."""
    return counted({len(run.histories) for run in runs}, "seed")


def counted(counts: set[int], noun: str) -> str:
    """Describes lines and bands over a number of runs."""
    if counts == {1}:
        return f"1 {noun}"
    return f"mean and range of {' or '.join(map(str, sorted(counts)))} {noun}s"
