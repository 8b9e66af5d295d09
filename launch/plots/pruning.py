"""Figure 6: accuracy, and MIR and HDR between features before and after pruning, by sparsity."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from launch.ledger import Point, read_points
from launch.plots.panels import COLOURS, Figures, counted, grid, legend_below, network
from launch.runs import Run, evaluated_split, the_only

_METHODS = {
    "one_shot": "by magnitude",
    "gradual": "by magnitude, gradually",
    "random": "at random",
}
_MARKERS = ("o", "s", "^")


def figures(runs: list[Run]) -> Figures:
    """Draws `pruning` and `pruning_details`.

    Raises:
      UserError: there are several runs, or no point is done yet.
    """
    run = the_only(runs)
    config, split, points = run.config, evaluated_split(run.config), read_points(run.workdir)
    n, *others = config["metric_batch_sizes"]
    main = {
        f"{split} accuracy": "accuracy",
        f"MIR, features before and after (n = {n})": f"between_mir_{n}",
        f"HDR, features before and after (n = {n})": f"between_hdr_{n}",
    }
    details = {f"{split} loss (nats)": "loss"}
    for m in others:
        details[f"MIR, before and after (n = {m})"] = f"between_mir_{m}"
        details[f"HDR, before and after (n = {m})"] = f"between_hdr_{m}"
    details |= {
        f"HDR, before and after, all {split} images": "between_population_hdr",
        f"MIR, features and head (n = {n})": f"mir_{n}",
        f"HDR, features and head (n = {n})": f"hdr_{n}",
        f"MIR, features and head, all {split} images": "population_mir",
        f"HDR, features and head, all {split} images": "population_hdr",
    }
    drawn = {
        "pruning": _grid(points, main, split, 3),
        "pruning_details": _grid(points, details, split, 4),
    }
    for figure in drawn.values():
        figure.suptitle(_title(config, points))
    return drawn


def _title(config: dict[str, Any], points: list[Point]) -> str:
    seeds = counted({len({p["seed"] for p in points})}, "seed")
    return f"{network(config)}: pruned, {config['finetune_steps']} steps of fine-tuning, {seeds}"


def _grid(points: list[Point], panels: dict[str, str], split: str, width: int) -> Figure:
    height = -(-len(panels) // width)
    figure, axes = grid((height, width), (3.7 * width, 1.2 + 2.9 * height))
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (label, metric) in zip(axes.flat, panels.items(), strict=False):
        _panel(axis, points, f"{split}/{metric}")
        axis.set_title(label, fontsize="medium")
        axis.set_xlabel("sparsity")
    legend_below(figure, axes[0, 0], 3)
    return figure


def _panel(axis: Axes, points: list[Point], metric: str) -> None:
    """A colour a method; fine-tuned by solid lines, before that by dashed ones."""
    for i, (method, name) in enumerate(_METHODS.items()):
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
