"""Few labels: accuracies, thresholds and pseudo-labels, MIR, HDR and entropies over training."""

import math

import numpy as np
from matplotlib.axes import Axes

from launch.plots.panels import (
    Figures,
    legend_above,
    limit,
    networks,
    page,
    panel,
    require_records,
    seeds,
)
from launch.plots.references import at_collapse
from launch.runs import Run, evaluated_split

_COPIES = "\n(about 7,500 unlabelled images are copies of test images, arXiv:2506.03582)"

_THRESHOLDS = {
    "global threshold": "batch/threshold",
    "lowest of a class": "batch/lowest_threshold",
}
_SHARES = {"pass": "batch/mask_rate", "correct, of these": "batch/pseudo_label_accuracy"}


def figures(runs: list[Run]) -> Figures:
    """Draws `semisupervised`; supervised runs have no thresholds and no pseudo-labels."""
    require_records(runs)
    config = runs[0].config
    split = evaluated_split(config)
    n = config["metric_batch_sizes"][0]
    figure, axes = page(3, 2, 8, sharex=True)
    accuracies = {
        "averaged": f"{split}/accuracy",
        "not averaged": f"{split}/raw_accuracy",
        "best so far": f"{split}/best_accuracy",
    }
    panel(axes[0, 0], runs, accuracies, f"{split} accuracy", log=False)
    _pseudo_labels(axes[0, 1], runs, _THRESHOLDS, "confidence")
    _pseudo_labels(axes[1, 0], runs, _SHARES, "share of unlabelled images")
    collapsed, by_batch = at_collapse(runs), f"{split}, n = {n}"
    for axis, name in ((axes[1, 1], "mir"), (axes[2, 0], "hdr")):
        series, label = {"": f"{split}/{name}_{n}"}, f"{name.upper()}, {by_batch}"
        panel(axis, runs, series, label, log=False, collapse=collapsed[name])
    entropies = {"features": f"{split}/entropy_features_{n}", "head": f"{split}/entropy_head_{n}"}
    label = f"matrix entropy (nats),\n{by_batch}"
    panel(axes[2, 1], runs, entropies, label, log=False, collapse=collapsed["entropy"])
    for axis in axes[-1]:
        axis.set_xlabel("step")
    figure.suptitle(_title(runs))
    return {"semisupervised": figure}


def _pseudo_labels(axis: Axes, runs: list[Run], series: dict[str, str], label: str) -> None:
    """Draws what supervised runs lack; the other runs keep their colours of the other panels."""
    none = dict.fromkeys(series.values(), math.nan)
    filled = [
        run._replace(histories=[[none | r for r in h] for h in run.histories]) for run in runs
    ]
    panel(axis, filled, series, label, log=False)
    for line in axis.get_lines():
        if np.all(np.isnan(np.asarray(line.get_ydata(), float))):
            line.remove()
    limit(axis, *series.values())
    legend_above(axis)
    if not axis.get_lines():
        axis.text(0.5, 0.5, "no pseudo-labels", ha="center", transform=axis.transAxes)


def _title(runs: list[Run]) -> str:
    config = runs[0].config
    labels = f"{config['num_labels']} labels" if config["num_labels"] else "all labels"
    method = f"{config['method']}, " if len(runs) == 1 else ""
    title = f"{method}{networks(runs)}, {labels}, {seeds(runs)}"
    return title + _COPIES * (config["dataset"] == "stl10")
