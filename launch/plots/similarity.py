"""Entropies, cosines, clusters and prediction errors of the features over training."""

import itertools

from launch.plots.panels import (
    COLOURS,
    Figures,
    common_batch_sizes,
    legend_below,
    networks,
    page,
    panel,
    require_records,
    seeds,
)
from launch.plots.references import at_collapse
from launch.results.similarity import names, read_settings
from launch.runs import Run, evaluated_split

_MARKS = "os^DvxP"


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


def comparison_figures(points: list[Run]) -> Figures:
    """Draws `similarity_networks`: accuracy against each measure, over training."""
    if len({read_settings(point) for point in points}) > 1:
        return {}
    split, n = read_settings(points[0])
    measures = {
        f"MIR, n = {n}": f"mir_{n}",
        f"HDR, n = {n}": f"hdr_{n}",
        "entropy of all features (nats)": "entropy_features",
        "entropy of the head rows (nats)": "entropy_head",
    }
    figure, axes = page(2, 2, 5.2, sharey=True)
    for axis, (label, metric) in zip(axes.flat, measures.items(), strict=True):
        styles = zip(points, names(points), itertools.cycle(_MARKS), itertools.cycle(COLOURS))
        for point, name, marker, colour in styles:
            records = [r for history in point.histories for r in history if r["step"] > 0]
            values = [[r[f"{split}/{x}"] for r in records] for x in (metric, "accuracy")]
            axis.plot(*values, marker, color=colour, ms=3, alpha=0.7, label=name)
        axis.set_xlabel(label)
    for axis in axes[:, 0]:
        axis.set_ylabel(f"accuracy ({split})")
    legend_below(figure, axes[0, 0], 2)
    figure.suptitle(f"{points[0].config['dataset']}: evaluations of every seed over training")
    return {"similarity_networks": figure}


def _errors(side: str) -> dict[str, str]:
    return {
        "error": f"error_from_{side}",
        "bound, ranks": f"rank_bound_from_{side}",
        "effective ranks": f"effective_bound_from_{side}",
    }
