"""Figures 3 and 4: accuracy, MIR and HDR on the line between two networks."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from infojax.errors import UserError
from infojax.training.recorder import read_lines
from launch.plots.panels import COLOURS, Figures, Run

_TREATMENTS = {
    "interpolated": "interpolated statistics",
    "recomputed": "recomputed from training batches",
    "first": "those of the first network",
}
_STYLES = ("-", "--", ":")

Curves = dict[str, np.ndarray]


def figures(runs: list[Run]) -> Figures:
    """Draws `mode_connectivity` and `mode_connectivity_details`, a row a learning rate.

    Raises:
      UserError: there are several runs, or no pair is complete yet.
    """
    if len(runs) > 1:
        raise UserError("runs of mode_connectivity are drawn one at a time")
    (run,) = runs
    config, split = run.config, "validation" if run.config["validation_fraction"] else "test"
    rows = {rate: _pairs(run, rate) for rate in config["learning_rates"]}
    rows = {rate: pairs for rate, pairs in rows.items() if pairs}
    if not rows:
        raise UserError(f"{run.workdir} holds no complete pair yet: see points.jsonl")
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


def _pairs(run: Run, rate: float) -> list[list[dict]]:
    """Points in order of ω, by pair, of the pairs that have all of them."""
    points = [p for p in read_lines(run.workdir / "points.jsonl") if p["learning_rate"] == rate]
    by_seed = [[p for p in points if p["seed"] == s] for s in sorted({p["seed"] for p in points})]
    whole = [pair for pair in by_seed if len(pair) == run.config["num_omegas"]]
    return [sorted(pair, key=lambda p: p["omega"]) for pair in whole]


def _title(config: dict, rows: dict[float, list]) -> str:
    stride = f", stride {config['first_stride']}" if config["first_stride"] > 1 else ""
    network = f"WideResNet-{config['depth']}-{config['width']}{stride}"
    count = max(len(pairs) for pairs in rows.values())
    pairs = "1 pair" if count == 1 else f"mean and range of {count} pairs"
    shared = f" after {config['fork_step']} shared steps" if config["fork_step"] else ""
    where = f"between two networks of one initialisation{shared}"
    return f"{config['dataset']}, {network}: {where}, {pairs}"


def _grid(rows, columns: dict[str, str], split: str, config: dict) -> plt.Figure:
    figure, grid = plt.subplots(
        len(rows),
        len(columns),
        figsize=(1 + 3.3 * len(columns), 1.2 + 2.4 * len(rows)),
        sharex=True,
        sharey="col",
        squeeze=False,
        layout="constrained",
    )
    for axes, (rate, pairs) in zip(grid, rows.items(), strict=True):
        for axis, metric in zip(axes, columns.values(), strict=True):
            _panel(axis, pairs, f"{split}/{metric}", config["treatments"])
            if metric == "loss":
                axis.set_yscale("log")
        axes[0].set_ylabel(f"learning rate {rate:g}")
    for axis, label in zip(grid[0], columns, strict=True):
        axis.set_title(label, fontsize="medium")
    for axis in grid[-1]:
        axis.set_xlabel("ω")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, title="BatchNorm", loc="outside lower center", ncols=3, frameon=False
    )
    return figure


def _panel(axis: Axes, pairs: list[list[dict]], metric: str, treatments: list[str]) -> None:
    omega = [p["omega"] for p in pairs[0]]
    for treatment in treatments:
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
