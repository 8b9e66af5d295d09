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
    grid,
    label_edges,
    legend_below,
    network,
)
from launch.results.mode_connectivity import finished_pairs
from launch.runs import Run, evaluated_split, the_only

_TREATMENTS = {
    "interpolated": "interpolated statistics",
    "recomputed": "recomputed from training batches",
    "first": "statistics of the first network",
}
_STYLES = ("-", "--", ":")

Rows = dict[float, list[list[Point]]]


def figures(runs: list[Run]) -> Figures:
    """Draws `mode_connectivity` and `mode_connectivity_details`, a row a learning rate.

    Raises:
      UserError: there are several runs, or no pair is complete yet.
    """
    run = the_only(runs)
    config, split, points = run.config, evaluated_split(run.config), read_points(run.workdir)
    rows = {
        rate: finished_pairs(points, rate, config["num_omegas"])
        for rate in config["learning_rates"]
    }
    rows = {rate: pairs for rate, pairs in rows.items() if pairs}
    if not rows:
        raise UserError(f"{run.workdir} holds no complete pair yet")
    n = config["metric_batch_sizes"][0]
    main = {
        f"{split} accuracy": "accuracy",
        f"MIR (n = {n})": f"mir_{n}",
        f"HDR (n = {n})": f"hdr_{n}",
    }
    details = {
        "loss (nats)": "loss",
        f"MIR, all {split} images": "population_mir",
        f"HDR, all {split} images": "population_hdr",
        f"entropy of features\n(nats, n = {n})": f"entropy_features_{n}",
        f"entropy of head\n(nats, n = {n})": f"entropy_head_{n}",
    }
    drawn = {
        "mode_connectivity": _grid(rows, main, split, config),
        "mode_connectivity_details": _grid(rows, details, split, config),
    }
    for figure in drawn.values():
        figure.suptitle(_title(config, rows))
    return drawn


def _title(config: dict[str, Any], rows: Rows) -> str:
    pairs = counted({max(len(pairs) for pairs in rows.values())}, "pair")
    shared = f" after {config['fork_step']} shared steps" if config["fork_step"] else ""
    where = f"between two networks of one initialisation{shared}"
    return f"{network(config)}: {where}, {pairs}"


def _grid(rows: Rows, columns: dict[str, str], split: str, config: dict[str, Any]) -> Figure:
    size = 1 + 3.3 * len(columns), 1.2 + 2.4 * len(rows)
    figure, axes = grid((len(rows), len(columns)), size, sharex=True, sharey="col")
    for row, (rate, pairs) in zip(axes, rows.items(), strict=True):
        for axis, metric in zip(row, columns.values(), strict=True):
            _panel(axis, pairs, f"{split}/{metric}", config["treatments"])
            if metric == "loss":
                axis.set_yscale("log")
        row[0].set_ylabel(f"learning rate {rate:g}")
    label_edges(axes, list(columns), "ω")
    if len(axes[0, 0].lines) > 1 or len(config["treatments"]) == 1:
        legend_below(figure, axes[0, 0], 3, title="BatchNorm")
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
