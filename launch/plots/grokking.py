"""Figure 7: accuracy, MIR and HDR over training, and what lies behind them."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from launch.plots.panels import Figures, common_batch_sizes, panel, require_records, seeds
from launch.runs import Run


def figures(runs: list[Run]) -> Figures:
    """Draws `grokking` (the paper's three panels) and `grokking_details`."""
    require_records(runs)
    sizes = common_batch_sizes(runs)[::-1]
    tasks = sorted({f"{run.config['operation']} mod {run.config['modulus']}" for run in runs})
    title = f"Grokking: {' and '.join(tasks)}, {seeds(runs)}"

    drawn = {"grokking": _main(runs, sizes), "grokking_details": _details(runs, sizes[0])}
    for figure in drawn.values():
        figure.suptitle(title)
    return drawn


def _main(runs: list[Run], sizes: list[int]) -> Figure:
    figure, axes = plt.subplots(3, 1, figsize=(7, 8), sharex=True, layout="constrained")
    panel(axes[0], runs, {"test": "test/accuracy", "train": "train/accuracy"}, "accuracy")
    panel(axes[1], runs, {f"n = {n}": f"test/mir_{n}" for n in sizes}, "MIR (test batch)")
    panel(axes[2], runs, {f"n = {n}": f"test/hdr_{n}" for n in sizes}, "HDR (test batch)")
    for axis in axes:
        axis.set_ylim(-0.03, 1.03)
    axes[2].set_xlabel("epoch")
    return figure


def _details(runs: list[Run], n: int) -> Figure:
    figure, grid = plt.subplots(2, 3, figsize=(12, 6.5), sharex=True, layout="constrained")
    panels = [
        ({"test": "test/loss", "train": "train/loss"}, "cross-entropy (nats)", True),
        ({"test": "test/class_mir", "train": "train/class_mir"}, "MIR, class level", False),
        ({"test": "test/class_hdr", "train": "train/class_hdr"}, "HDR, class level", False),
        (
            {"features": f"test/entropy_features_{n}", "head": f"test/entropy_head_{n}"},
            f"matrix entropy (nats), test, n = {n}",
            False,
        ),
        ({"": "weights/squared_norm"}, "sum of squared weights", False),
        ({"test": "test/nc1", "train": "train/nc1"}, "NC1", True),
    ]
    for axis, (series, label, is_log) in zip(grid.flat, panels, strict=True):
        panel(axis, runs, series, label)
        if is_log and any(np.any(line.get_ydata() > 0) for line in axis.lines):
            axis.set_yscale("log")
    for axis in grid[1]:
        axis.set_xlabel("epoch")
    return figure
