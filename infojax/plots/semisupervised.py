"""Few labels: accuracies, thresholds and pseudo-labels, MIR, HDR and entropies over training."""

import matplotlib.pyplot as plt

from infojax.plots.panels import Figures, Run, panel, require_records, seeds

_COPIES = "\n(about 7,500 unlabelled images are copies of test images, arXiv:2506.03582)"


def figures(runs: list[Run]) -> Figures:
    """Draws `semisupervised`; supervised runs have no thresholds and no pseudo-labels."""
    require_records(runs)
    config = runs[0].config
    split = "validation" if config["validation_fraction"] else "test"
    n = config["metric_batch_sizes"][0]
    pseudo = [run for run in runs if run.config["method"] != "supervised"]
    figure, grid = plt.subplots(2, 3, figsize=(12, 6.5), sharex=True, layout="constrained")
    accuracies = {
        "averaged parameters": f"{split}/accuracy",
        "parameters": f"{split}/raw_accuracy",
        "best yet": f"{split}/best_accuracy",
    }
    panel(grid[0, 0], runs, accuracies, f"{split} accuracy", log=False)
    thresholds = {
        "global threshold": "batch/threshold",
        "lowest of a class": "batch/lowest_threshold",
    }
    shares = {"pass": "batch/mask_rate", "right, of those": "batch/pseudo_label_accuracy"}
    for axis, series, label in (
        (grid[0, 1], thresholds, "confidence"),
        (grid[0, 2], shares, "share of a batch's unlabelled images"),
    ):
        panel(axis, pseudo, series, label, log=False)
        axis.set_ylim(0, 1.02)
    by_batch = f"{split}, n = {n}"
    panel(grid[1, 0], runs, {"": f"{split}/mir_{n}"}, f"MIR, {by_batch}", log=False)
    panel(grid[1, 1], runs, {"": f"{split}/hdr_{n}"}, f"HDR, {by_batch}", log=False)
    entropies = {"features": f"{split}/entropy_features_{n}", "head": f"{split}/entropy_head_{n}"}
    panel(grid[1, 2], runs, entropies, f"matrix entropy (nats), {by_batch}", log=False)
    for axis in grid[1]:
        axis.set_xlabel("step")
    figure.suptitle(_title(runs))
    return {"semisupervised": figure}


def _title(runs: list[Run]) -> str:
    config = runs[0].config
    labels = f"{config['num_labels']} labels" if config["num_labels"] else "all labels"
    network = f"WideResNet-{config['depth']}-{config['width']}"
    method = f"{config['method']}, " if len(runs) == 1 else ""
    title = f"{method}{config['dataset']}, {labels}, {network}, {seeds(runs)}"
    return title + _COPIES * (config["dataset"] == "stl10")
