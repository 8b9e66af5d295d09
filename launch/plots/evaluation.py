"""MIR, HDR, entropy and variability within classes of a trained network, layer by layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from launch.plots.panels import COLOURS, counted, legend_below, limit, mark_collapse, page
from launch.plots.references import of_classes

# Markers and dashes of the batch sizes; all images have circles on a solid line.
_LOOKS = (("s", (4, 2)), ("^", (1, 2)), ("D", (5, 2, 1, 2)), ("v", (8, 3)), ("x", (2, 4)))
Evaluations = dict[str, dict[str, Any]]


def figure(found: Evaluations, sizes: Sequence[int], num_classes: int) -> Figure:
    """Draws four metrics against the layers, one colour per split.

    Args:
      found: evaluations of one data set by key, as in evaluation.json.
      sizes: of the batches of MIR and HDR.
      num_classes: of the data set.
    """
    drawn, axes = page(2, 2, 7, sharex=True)
    by_size = {f"batches of {n}": n for n in sizes}
    panels = {
        "MIR with the head": {name: f"mir_{n}" for name, n in by_size.items()}
        | {"all images": "population_mir"},
        "HDR with the head": {name: f"hdr_{n}" for name, n in by_size.items()}
        | {"all images": "population_hdr"},
        "matrix entropy (nats), all images": {"all images": "entropy"},
        "NC1, all images": {"all images": "nc1"},
    }
    first, collapsed = next(iter(found.values())), of_classes(num_classes)
    if first["alpha"] != 1:
        collapsed["mir"] = None  # known at order 1
    values = (collapsed["mir"], collapsed["hdr"], collapsed["entropy"], None)
    for axis, (label, series), value in zip(axes.flat, panels.items(), values, strict=True):
        _panel(axis, found, series)
        if value is not None:
            mark_collapse(axis, value)
        limit(axis, *series.values())
        axis.set_ylabel(label)
    axes[1, 1].set_yscale("log")
    for axis in axes[1]:
        axis.set_xticks(range(len(first["layers"])), first["layers"], rotation=60, ha="right")
    legend_below(drawn, axes[0, 0], max(2, len(found)))
    alpha = f", order {first['alpha']:g}" if first["alpha"] != 1 else ""
    steps = " or ".join(f"{step:,}" for step in sorted(set(first["steps"])))
    number = len(first["steps"])
    spread = "1 seed (bars: standard error)" if number == 1 else counted({number}, "seed")
    drawn.suptitle(f"{first['dataset']}, {first['model']}, step {steps}{alpha}, {spread}")
    return drawn


def _panel(axis: Axes, found: Evaluations, series: dict[str, str]) -> None:
    """Draws metrics (by name in the legend) of all splits; error bars, or the range over seeds."""
    for colour, entry in zip(COLOURS, found.values(), strict=False):
        layers = list(entry["layers"].values())
        at = np.arange(len(layers))
        for i, (name, metric) in enumerate(series.items()):
            values = np.array([layer[metric]["by_seed"] for layer in layers])
            whole = name == "all images"
            marker, dashes = ("o", ()) if whole else _LOOKS[i % len(_LOOKS)]
            label = f"{entry['split']}, {name}"
            (line,) = axis.plot(at, values.mean(1), f"{marker}-", color=colour, label=label)
            line.set(markersize=4, dashes=dashes)
            if values.shape[1] > 1:
                axis.fill_between(
                    at, values.min(1), values.max(1), color=colour, alpha=0.2, linewidth=0
                )
            elif f"{metric}_error" in layers[0]:
                errors = np.array([layer[f"{metric}_error"]["mean"] for layer in layers])
                axis.errorbar(at, values[:, 0], errors, fmt="none", color=colour, capsize=2)
    axis.grid(alpha=0.3, linewidth=0.6)
