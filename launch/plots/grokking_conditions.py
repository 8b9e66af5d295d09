"""Figures of grokking under several conditions on the same seeds."""

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from launch.plots import grokking_seeds, grokking_spectra
from launch.plots.grokking_seeds import interval, limit_to, log_axis, over_epochs, quantities
from launch.plots.panels import COLOURS, Figures, page
from launch.results import conditions, ensembles
from launch.results.ensembles import Condition
from launch.runs import Run

_LETTERS = 20  # in a line along the side of a panel


def comparison_figures(points: list[Run]) -> Figures:
    """Draws `grokking_conditions` and, for several conditions, `grokking_onsets`.

    For the first condition, also what a run of several seeds draws: bands, each seed, the order of
    the measures, and spectra.
    """
    found = [ensembles.read(point) for point in points]
    n = max(points[0].config["metric_batch_sizes"])
    drawn = {"grokking_conditions": _bands(found, n)}
    if len(found) > 1:
        drawn["grokking_onsets"] = _onsets(found)
    first = points[0]
    task = f"{first.config['operation']} mod {first.config['modulus']}"
    if len(first.histories) > 1:
        drawn |= grokking_seeds.figures(first, task)
    return drawn | grokking_spectra.figures(first, task)


def _bands(found: list[Condition], n: int) -> Figure:
    """A row for each condition: accuracy, MIR and HDR at both levels."""
    shown = quantities(n)
    figure, axes = page(len(found), 3, 0.9 + 1.25 * len(found), sharex=True, sharey=True)
    names = conditions.names(found)
    for row, condition, name in zip(axes, found, names, strict=True):
        for axis, series in zip(row, shown.values(), strict=True):
            over_epochs(axis, condition, series)
        count = f"{sum(condition.generalised)} of {len(condition.seeds)} generalise"
        side = f"{_narrow(name)}\n{count}"
        row[0].set_ylabel(side, fontsize=7, rotation=0, ha="right", va="center")
        row[0].set_ylim(-0.03, 1.03)
    for axis, quantity in zip(axes[0], shown, strict=True):
        axis.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, handlelength=1.6
        )
        axis.set_title(quantity if quantity == "accuracy" else f"{quantity} (test)", pad=19)
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    figure.suptitle("Grokking by condition: median and quartiles over seeds")
    return figure


def _onsets(found: list[Condition]) -> Figure:
    """The onset of each condition's seeds, and its ratio to the first condition's."""
    figure, axes = page(1, 2, 1.5 + 0.32 * len(found), sharey=True)
    left, right = axes[0]
    for y, condition in enumerate(found):
        for onset, yes in zip(condition.onsets(), condition.generalised, strict=True):
            if onset is not None:
                _point(left, onset, y, "" if yes else "above")
        if y:
            _ratios(right, conditions.paired(condition, found[0]), y)
    ratios = [x for c in found[1:] for x in conditions.paired(c, found[0])["ratios"]]
    for axis, label in ((left, "onset (epoch)"), (right, "onset / onset in the first condition")):
        log_axis(axis, narrow=True)
        axis.set_xlabel(label)
    limit_to(right, ratios)
    right.axvline(1, color="0.4", linewidth=0.8)
    left.set_yticks(range(len(found)), conditions.names(found), fontsize=7)
    left.invert_yaxis()
    figure.suptitle(
        "Half the rise of test accuracy: seeds; right: also geometric mean, 95 % interval\n"
        "open triangles: bounds, from seeds that do not generalise by the last epoch"
    )
    return figure


def _ratios(axis: Axes, pairs: dict, y: int) -> None:
    for ratio, bound in zip(pairs["ratios"], pairs["bounds"], strict=True):
        _point(axis, ratio, y, bound)
    if pairs["ratio"]:
        interval(axis, pairs["ratio"], y)


def _point(axis: Axes, x: float, y: int, bound: str) -> None:
    """A seed; a bound is an open triangle that points to where the true value lies."""
    look = {"": "o", "above": ">", "below": "<"}[bound]
    face = "none" if bound else COLOURS[6]
    axis.plot(x, y, look, color=COLOURS[6], markerfacecolor=face, alpha=0.5, markersize=4)


def _narrow(label: str) -> str:
    """Breaks the long lines of a label at spaces."""
    return "\n".join(textwrap.fill(line, _LETTERS) for line in label.split("\n"))
