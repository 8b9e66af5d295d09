"""Entropies, cosines, clusters and prediction errors of the features over training."""

from launch.plots.panels import (
    Figures,
    common_batch_sizes,
    networks,
    page,
    panel,
    require_records,
    seeds,
)
from launch.plots.references import at_collapse
from launch.runs import Run, evaluated_split


def figures(runs: list[Run]) -> Figures:
    """Draws `similarity`."""
    require_records(runs)
    split = evaluated_split(runs[0].config)
    n = common_batch_sizes(runs)[0]
    figure, axes = page(4, 2, 10, sharex=True)
    entropies = {
        "all": "entropy_features",
        "within classes": "within_class_entropy",
        "class means": "class_mean_entropy",
        "head rows": "entropy_head",
    }
    panels = [
        ({"": "accuracy"}, "accuracy", None),
        (entropies, "matrix entropy (nats)", at_collapse(runs)["entropy"]),
        ({"within": "cosine_within", "between": "cosine_between"}, "mean cosine, classes", None),
        ({"NMI, k-means": "nmi", "silhouette": "silhouette"}, "clustering", None),
        ({"": "nc1"}, "NC1", None),
        ({"MIR": f"mir_{n}", "HDR": f"hdr_{n}"}, f"MIR and HDR, n = {n}", None),
        (_errors("head"), "features from head rows,\nleast-squares error", None),
        (_errors("features"), "head rows from features,\nleast-squares error", None),
    ]
    for axis, (series, label, value) in zip(axes.flat, panels, strict=True):
        drawn = {name: f"{split}/{metric}" for name, metric in series.items()}
        panel(axis, runs, drawn, label, log=False, collapse=value)
    for axis in axes[-1]:
        axis.set_xlabel("step")
    figure.suptitle(f"{networks(runs)}, {seeds(runs)}")
    return {"similarity": figure}


def _errors(side: str) -> dict[str, str]:
    return {
        "error": f"error_from_{side}",
        "bound, ranks": f"rank_bound_from_{side}",
        "effective ranks": f"effective_bound_from_{side}",
    }
