"""Figure 7: accuracy, MIR and HDR over training, and what lies behind them."""

import matplotlib.pyplot as plt
import numpy as np

from infojax.errors import UserError
from launch.plots.panels import Figures, Run, panel, require_records, seeds


def figures(runs: list[Run]) -> Figures:
    """Draws `grokking` (the paper's three panels) and `grokking_details`."""
    require_records(runs)
    common = set.intersection(*(set(run.config["metric_batch_sizes"]) for run in runs))
    if not common:
        raise UserError("the runs have none of their metric_batch_sizes in common")
    sizes = sorted(common, reverse=True)
    tasks = sorted({f"{run.config['operation']} mod {run.config['modulus']}" for run in runs})
    title = f"Grokking: {' and '.join(tasks)}, {seeds(runs)}"

    main, axes = plt.subplots(3, 1, figsize=(7, 8), sharex=True, layout="constrained")
    panel(axes[0], runs, {"test": "test/accuracy", "train": "train/accuracy"}, "accuracy")
    panel(axes[1], runs, {f"n = {n}": f"test/mir_{n}" for n in sizes}, "MIR (test batch)")
    panel(axes[2], runs, {f"n = {n}": f"test/hdr_{n}" for n in sizes}, "HDR (test batch)")
    for axis in axes:
        axis.set_ylim(-0.03, 1.03)
    axes[2].set_xlabel("epoch")
    main.suptitle(title)

    details, grid = plt.subplots(2, 3, figsize=(12, 6.5), sharex=True, layout="constrained")
    n = sizes[0]
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
    details.suptitle(title)
    return {"grokking": main, "grokking_details": details}
