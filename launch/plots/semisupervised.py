"""Few labels: accuracies, thresholds and pseudo-labels, MIR, HDR and entropies over training."""

import math

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from launch.plots.panels import Figures, networks, panel, require_records, seeds
from launch.runs import Run, evaluated_split

_COPIES = "\n(about 7,500 unlabelled images are copies of test images, arXiv:2506.03582)"

_THRESHOLDS = {
    "global threshold": "batch/threshold",
    "lowest of a class": "batch/lowest_threshold",
}
_SHARES = {"pass": "batch/mask_rate", "right, of those": "batch/pseudo_label_accuracy"}


def figures(runs: list[Run]) -> Figures:
    """Draws `semisupervised`; supervised runs have no thresholds and no pseudo-labels."""
    require_records(runs)
    config = runs[0].config
    split = evaluated_split(config)
    n = config["metric_batch_sizes"][0]
    figure, grid = plt.subplots(2, 3, figsize=(12, 6.5), sharex=True, layout="constrained")
    accuracies = {
        "averaged parameters": f"{split}/accuracy",
        "parameters": f"{split}/raw_accuracy",
        "best yet": f"{split}/best_accuracy",
    }
    panel(grid[0, 0], runs, accuracies, f"{split} accuracy", log=False)
    _pseudo_labels(grid[0, 1], runs, _THRESHOLDS, "confidence")
    _pseudo_labels(grid[0, 2], runs, _SHARES, "share of a batch's unlabelled images")
    by_batch = f"{split}, n = {n}"
    panel(grid[1, 0], runs, {"": f"{split}/mir_{n}"}, f"MIR, {by_batch}", log=False)
    panel(grid[1, 1], runs, {"": f"{split}/hdr_{n}"}, f"HDR, {by_batch}", log=False)
    entropies = {"features": f"{split}/entropy_features_{n}", "head": f"{split}/entropy_head_{n}"}
    panel(grid[1, 2], runs, entropies, f"matrix entropy (nats), {by_batch}", log=False)
    for axis in grid[1]:
        axis.set_xlabel("step")
    figure.suptitle(_title(runs))
    return {"semisupervised": figure}


def _pseudo_labels(axis: Axes, runs: list[Run], series: dict[str, str], label: str) -> None:
    """Draws what supervised runs do not have; the colours of the others are as in each panel."""
    none = dict.fromkeys(series.values(), math.nan)
    filled = [
        run._replace(histories=[[none | r for r in h] for h in run.histories]) for run in runs
    ]
    panel(axis, filled, series, label, log=False)
    for line in axis.get_lines():
        if np.all(np.isnan(np.asarray(line.get_ydata(), float))):
            line.remove()
    axis.set_ylim(0, 1.02)
    axis.legend(handles=axis.get_lines(), fontsize="small", frameon=False)
    if not axis.get_lines():
        axis.text(0.5, 0.5, "no pseudo-labels", ha="center", transform=axis.transAxes)


def _title(runs: list[Run]) -> str:
    config = runs[0].config
    labels = f"{config['num_labels']} labels" if config["num_labels"] else "all labels"
    method = f"{config['method']}, " if len(runs) == 1 else ""
    title = f"{method}{networks(runs)}, {labels}, {seeds(runs)}"
    return title + _COPIES * (config["dataset"] == "stl10")
