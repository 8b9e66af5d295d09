"""Figures 1 and 2: accuracy, MIR and HDR of image classification, and what lies behind them."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from launch.plots.panels import (
    Figures,
    common_batch_sizes,
    networks,
    panel,
    require_records,
    seeds,
)
from launch.runs import Run, evaluated_split


def figures(runs: list[Run]) -> Figures:
    """Draws `supervised` (accuracy, MIR, HDR) and `supervised_details`."""
    require_records(runs)
    split, n = evaluated_split(runs[0].config), common_batch_sizes(runs)[0]
    title = f"{networks(runs)}, {seeds(runs)}"
    return {
        "supervised": _main(runs, split, n, title),
        "supervised_details": _details(runs, split, n, title),
    }


def _main(runs: list[Run], split: str, n: int, title: str) -> Figure:
    figure, axes = plt.subplots(3, 1, figsize=(7, 8), sharex=True, layout="constrained")
    of_batches = {f"{split}, batches of {n}": ""}
    names = _whole(runs, "train") + _whole(runs, split)
    for axis, name in zip(axes[1:], ("mir", "hdr"), strict=True):
        series = {label: f"{split}/{name}_{n}" for label in of_batches}
        series |= {f"{s}, all images": f"{s}/population_{name}" for s in names}
        panel(axis, runs, series, name.upper(), log=False)
    accuracies = {split: f"{split}/accuracy", "batch of the step": "batch/accuracy"}
    panel(axes[0], runs, accuracies, "accuracy", log=False)
    axes[0].set_ylim(0, 1)
    axes[2].set_xlabel("step")
    figure.suptitle(title)
    return figure


def _whole(runs: list[Run], split: str) -> list[str]:
    """The split, in a list, if all runs have measured the whole of it."""
    histories = [history for run in runs for history in run.histories]
    return [split] if all(f"{split}/population_mir" in h[-1] for h in histories) else []


def _details(runs: list[Run], split: str, n: int, title: str) -> Figure:
    figure, grid = plt.subplots(2, 3, figsize=(12, 6.5), sharex=True, layout="constrained")
    whole = _whole(runs, "train") + _whole(runs, split)
    panels = [
        ({split: f"{split}/loss", "batch of the step": "batch/loss"}, "loss (nats)"),
        (
            {"features": f"{split}/entropy_features_{n}", "head": f"{split}/entropy_head_{n}"},
            f"matrix entropy (nats), {split}, n = {n}",
        ),
        (
            {"I, batch": "batch/mutual_information", "|ΔH|, batch": "batch/entropy_difference"},
            "terms of the loss (nats)",
        ),
        ({s: f"{s}/class_mir" for s in whole}, "MIR, class level"),
        ({s: f"{s}/class_hdr" for s in whole}, "HDR, class level"),
        ({s: f"{s}/nc1" for s in whole}, "NC1"),
    ]
    for axis, (series, label) in zip(grid.flat, panels, strict=True):
        panel(axis, runs, series, label, log=False)
        if not series:
            axis.text(0.5, 0.5, "not recorded", ha="center", transform=axis.transAxes)
    if whole:
        grid.flat[-1].set_yscale("log")
    for axis in grid[1]:
        axis.set_xlabel("step")
    figure.suptitle(title)
    return figure
