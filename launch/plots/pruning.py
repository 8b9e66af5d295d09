"""Figure 6: accuracy, and MIR and HDR between features before and after pruning, by sparsity."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from launch.ledger import Point, read_points
from launch.plots.panels import (
    COLOURS,
    Figures,
    counted,
    legend_below,
    limit,
    mark_collapse,
    network,
    page,
)
from launch.plots.references import at_collapse
from launch.results.pruning import WORDS
from launch.runs import Run, evaluated_split, the_only

_MARKERS = ("o", "s", "^")

Panels = dict[str, tuple[str, float | None]]  # metric, and its value at collapse, by title


def figures(runs: list[Run]) -> Figures:
    """Draws `pruning` and `pruning_details`.

    Raises:
      UserError: there are several runs, or no point is done yet.
    """
    run = the_only(runs)
    config, split, points = run.config, evaluated_split(run.config), read_points(run.workdir)
    (n, *others), collapsed = config["metric_batch_sizes"], at_collapse(runs)
    main: Panels = {
        f"{split} accuracy": ("accuracy", None),
        f"MIR before and after, n = {n}": (f"between_mir_{n}", None),
        f"HDR before and after, n = {n}": (f"between_hdr_{n}", None),
    }
    details: Panels = {f"{split} loss (nats)": ("loss", None)}
    for m in others:
        details[f"MIR before and after, n = {m}"] = (f"between_mir_{m}", None)
        details[f"HDR before and after, n = {m}"] = (f"between_hdr_{m}", None)
    details |= {
        "HDR before and after, all images": ("between_population_hdr", None),
        f"MIR with the head, n = {n}": (f"mir_{n}", collapsed["mir"]),
        f"HDR with the head, n = {n}": (f"hdr_{n}", collapsed["hdr"]),
        "MIR with the head, all images": ("population_mir", collapsed["mir"]),
        "HDR with the head, all images": ("population_hdr", collapsed["hdr"]),
    }
    drawn = {
        "pruning": _grid(points, main, split),
        "pruning_details": _grid(points, details, split),
    }
    for figure in drawn.values():
        figure.suptitle(_title(config, points))
    return drawn


def _title(config: dict[str, Any], points: list[Point]) -> str:
    seeds = counted({len({p["seed"] for p in points})}, "seed")
    steps = config["finetune_steps"]
    return f"{network(config)}: pruned, {steps} steps of fine-tuning, {seeds}"


def _grid(points: list[Point], panels: Panels, split: str) -> Figure:
    rows = -(-len(panels) // 3)
    figure, axes = page(rows, 3, 1.3 + 2.1 * rows)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    drawn = axes.flat[: len(panels)]
    for axis, (label, (metric, collapsed)) in zip(drawn, panels.items(), strict=True):
        _panel(axis, points, f"{split}/{metric}")
        if collapsed is not None:
            mark_collapse(axis, collapsed)
        limit(axis, f"{split}/{metric}")
        axis.set_title(label)
        axis.set_xlabel("sparsity")
    legend_below(figure, max(drawn, key=lambda axis: len(axis.lines)), 3)
    return figure


def _panel(axis: Axes, points: list[Point], metric: str) -> None:
    """One colour per method; solid lines after fine-tuning, dotted ones before."""
    for i, (method, name) in enumerate(WORDS.items()):
        own = [p for p in points if p["method"] == method or p["sparsity"] == 0]
        if all(p["method"] != method for p in own):
            continue
        for stage, style, label in (("after", "-", name), ("before", ":", f"{name}, not tuned")):
            if (method, stage) == ("gradual", "before"):
                continue  # the trained network itself
            by_sparsity = {
                s: [p[stage][metric] for p in own if p["sparsity"] == s]
                for s in sorted({p["sparsity"] for p in own})
            }
            x = list(by_sparsity)
            axis.plot(
                x,
                [np.mean(v) for v in by_sparsity.values()],
                style,
                color=COLOURS[i],
                marker=_MARKERS[i],
                markersize=3.5,
                linewidth=1.5,
                label=label,
            )
            low, high = ([f(v) for v in by_sparsity.values()] for f in (min, max))
            axis.fill_between(x, low, high, color=COLOURS[i], alpha=0.2, linewidth=0)
    axis.grid(alpha=0.3, linewidth=0.6)
