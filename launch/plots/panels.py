"""The panels that figures are made of. Matplotlib is set up here."""

from collections.abc import Mapping
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infojax.errors import UserError
from launch.runs import Run, model_name

Figures = dict[str, Figure]

# Okabe & Ito's colours, told apart by colour-blind readers and by their lightness in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", ":")


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


def grid(
    shape: tuple[int, int], size: tuple[float, float], **sharing: Any
) -> tuple[Figure, np.ndarray]:
    """Returns a figure and its axes [rows, columns], laid out without overlap."""
    return plt.subplots(*shape, figsize=size, squeeze=False, layout="constrained", **sharing)


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
    axis: Axes, runs: list[Run], series: dict[str, str], label: str, log: bool = True
) -> None:
    """Draws series (name in the legend to name of the metric) of all runs over (log) steps.

    Colours tell series apart where there is one run, and runs where there are several.
    """
    for i, run in enumerate(runs):
        for j, (name, metric) in enumerate(series.items()):
            step, values = table(run, metric)
            colour = COLOURS[(i if len(runs) > 1 else j) % len(COLOURS)]
            parts = [run.name] * (len(runs) > 1) + [name] * (name != "")
            axis.plot(
                step,
                np.mean(values, 0),
                STYLES[j % len(STYLES)],
                color=colour,
                linewidth=1.6,
                label=", ".join(parts),
            )
            if len(values) > 1:
                axis.fill_between(
                    step, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0
                )
    if log:
        axis.set_xscale("log")
    axis.set_ylabel(label)
    axis.grid(alpha=0.3, linewidth=0.6)
    if len(runs) > 1 or len(series) > 1:
        axis.legend(fontsize="small", frameon=False)


def table(run: Run, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps [t] from 1 on and values [seeds, t], at the steps that all seeds have reached.

    Raises:
      UserError: a record lacks the metric.
    """
    try:
        columns = [{r["step"]: r[metric] for r in h if r["step"] > 0} for h in run.histories]
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
