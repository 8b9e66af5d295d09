"""Figures 1 and 2: accuracy, MIR and HDR of image classification, and what lies behind them."""

from matplotlib.figure import Figure

from launch.plots.panels import (
    Figures,
    by_detail,
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
    """Draws `supervised` (accuracy, MIR, HDR) and `supervised_details`."""
    require_records(runs)
    split, n = evaluated_split(runs[0].config), common_batch_sizes(runs)[0]
    drawn = {"supervised": _main(runs, split, n), "supervised_details": _details(runs, split, n)}
    for figure in drawn.values():
        figure.suptitle(f"{networks(runs)}, {seeds(runs)}")
    return drawn


def _main(runs: list[Run], split: str, n: int) -> Figure:
    figure, axes = page(3, 1, 7.5, sharex=True)
    accuracy, mir, hdr = axes[:, 0]
    panel(accuracy, runs, by_detail(f"{split}/accuracy", "batch/accuracy"), "accuracy", log=False)
    collapsed = at_collapse(runs)
    for axis, name in ((mir, "mir"), (hdr, "hdr")):
        whole = [f"{s}/population_{name}" for s in _whole(runs, split)]
        series = by_detail(f"{split}/{name}_{n}", *whole)
        panel(axis, runs, series, name.upper(), log=False, collapse=collapsed[name])
    hdr.set_xlabel("step")
    return figure


def _whole(runs: list[Run], split: str) -> list[str]:
    """Which of the training and the evaluated split all runs have measured as a whole."""
    last = [history[-1] for run in runs for history in run.histories]
    return [s for s in ("train", split) if all(f"{s}/population_mir" in record for record in last)]


def _details(runs: list[Run], split: str, n: int) -> Figure:
    figure, axes = page(3, 2, 8, sharex=True)
    whole, collapsed = _whole(runs, split), at_collapse(runs)
    entropies = {"features": f"{split}/entropy_features_{n}", "head": f"{split}/entropy_head_{n}"}
    terms = by_detail("batch/mutual_information", "batch/entropy_difference")
    panels = [
        (by_detail(f"{split}/loss", "batch/loss"), "loss (nats)", None),
        (entropies, f"matrix entropy (nats),\n{split}, n = {n}", collapsed["entropy"]),
        (terms, "terms of the loss (nats)", None),
        ({s: f"{s}/class_mir" for s in whole}, "MIR, class level", collapsed["mir"]),
        ({s: f"{s}/class_hdr" for s in whole}, "HDR, class level", collapsed["hdr"]),
        ({s: f"{s}/nc1" for s in whole}, "NC1", None),
    ]
    for axis, (series, label, value) in zip(axes.flat, panels, strict=True):
        panel(axis, runs, series, label, log=False, collapse=value if series else None)
        if not series:
            axis.text(0.5, 0.5, "not recorded", ha="center", transform=axis.transAxes)
    if whole:
        axes.flat[-1].set_yscale("log")
    for axis in axes[-1]:
        axis.set_xlabel("step")
    return figure
