"""Figures 3 and 4: accuracy, MIR and HDR on the line between two networks."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infojax.errors import UserError
from launch.ledger import Point, read_points
from launch.plots.panels import (
    COLOURS,
    Figures,
    counted,
    label_edges,
    legend_below,
    limit,
    mark_collapse,
    network,
    page,
    plain_numbers,
)
from launch.plots.references import at_collapse
from launch.results.mode_connectivity import finished_pairs
from launch.runs import Run, evaluated_split, the_only

_TREATMENTS = {
    "interpolated": "interpolated statistics",
    "recomputed": "recomputed from training batches",
    "first": "statistics of the first network",
}
_STYLES = ("-", "--", ":")

Columns = dict[float, list[list[Point]]]  # pairs by learning rate
Rows = dict[str, tuple[str, float | None]]  # metric, and its value at collapse, by label


def figures(runs: list[Run]) -> Figures:
    """Draws `mode_connectivity` and `mode_connectivity_details`, one column per learning rate.

    Raises:
      UserError: there are several runs, or no pair is complete yet.
    """
    run = the_only(runs)
    config, split, points = run.config, evaluated_split(run.config), read_points(run.workdir)
    columns = {
        rate: finished_pairs(points, rate, config["num_omegas"])
        for rate in config["learning_rates"]
    }
    columns = {rate: pairs for rate, pairs in columns.items() if pairs}
    if not columns:
        raise UserError(f"{run.workdir} holds no complete pair yet")
    n, collapsed = config["metric_batch_sizes"][0], at_collapse(runs)
    main: Rows = {
        f"{split} accuracy": ("accuracy", None),
        f"MIR (n = {n})": (f"mir_{n}", collapsed["mir"]),
        f"HDR (n = {n})": (f"hdr_{n}", collapsed["hdr"]),
    }
    details: Rows = {
        "loss (nats)": ("loss", None),
        f"MIR, all\n{split} images": ("population_mir", collapsed["mir"]),
        f"HDR, all\n{split} images": ("population_hdr", collapsed["hdr"]),
        f"entropy of features\n(nats, n = {n})": (f"entropy_features_{n}", collapsed["entropy"]),
        f"entropy of head\n(nats, n = {n})": (f"entropy_head_{n}", collapsed["entropy"]),
    }
    drawn = {
        "mode_connectivity": _grid(main, columns, split, config),
        "mode_connectivity_details": _grid(details, columns, split, config),
    }
    for figure in drawn.values():
        figure.suptitle(_title(config, columns))
    return drawn


def _title(config: dict[str, Any], columns: Columns) -> str:
    pairs = counted({max(len(pairs) for pairs in columns.values())}, "pair")
    shared = f" after {config['fork_step']} shared steps" if config["fork_step"] else ""
    where = f"between two networks from one initialisation{shared}"
    return f"{network(config)}: {where},\n{pairs}"


def _grid(rows: Rows, columns: Columns, split: str, config: dict[str, Any]) -> Figure:
    height = 1.3 + 1.75 * len(rows)
    figure, axes = page(len(rows), len(columns), height, sharex=True, sharey="row")
    for row, (label, (metric, collapsed)) in zip(axes, rows.items(), strict=True):
        for axis, pairs in zip(row, columns.values(), strict=True):
            _panel(axis, pairs, f"{split}/{metric}", config["treatments"])
            if collapsed is not None:
                mark_collapse(axis, collapsed)
            limit(axis, f"{split}/{metric}")
        if metric == "loss":
            row[0].set_yscale("log")
            plain_numbers(row[0].yaxis, (1, 2, 3, 5, 7))
        row[0].set_ylabel(label)
    label_edges(axes, [f"learning rate {rate:g}" for rate in columns], "ω")
    curves = max((axis for axis in axes.flat), key=lambda axis: len(axis.lines))
    if len(curves.lines) > 1 or len(config["treatments"]) == 1:
        legend_below(figure, curves, 2, title="BatchNorm")
    return figure


def _panel(axis: Axes, pairs: list[list[Point]], metric: str, treatments: list[str]) -> None:
    omega = [p["omega"] for p in pairs[0]]
    for treatment in treatments:
        if pairs[0][0][treatment] is None:  # a model without BatchNorm
            continue
        i = list(_TREATMENTS).index(treatment)
        values = np.array([[p[treatment][metric] for p in pair] for pair in pairs])
        axis.plot(
            omega,
            np.mean(values, 0),
            _STYLES[i],
            color=COLOURS[i],
            linewidth=1.6,
            label=_TREATMENTS[treatment],
        )
        if len(pairs) > 1:
            low, high = values.min(0), values.max(0)
            axis.fill_between(omega, low, high, color=COLOURS[i], alpha=0.2, linewidth=0)
    axis.grid(alpha=0.3, linewidth=0.6)
