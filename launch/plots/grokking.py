"""Figure 7: accuracy, MIR and HDR over training, and what lies behind them."""

import numpy as np
from matplotlib.figure import Figure

from launch.plots import grokking_seeds, grokking_spectra
from launch.plots.panels import Figures, common_batch_sizes, page, panel, require_records, seeds
from launch.runs import Run

CLASS_LEVEL = "class level"


def figures(runs: list[Run]) -> Figures:
    """Draws `grokking` (the paper's three panels, at both levels) and `grokking_details`.

    With Fourier measures, also `grokking_progress`; for a single run, spectra and, if it has
    several seeds, bands, each seed, and the order of the measures.
    """
    require_records(runs)
    sizes = common_batch_sizes(runs)[::-1]
    task = " and ".join(sorted({named(run) for run in runs}))
    drawn = {"grokking": _main(runs, sizes), "grokking_details": _details(runs, sizes[0])}
    if all("fourier/gini_embedding" in history[-1] for run in runs for history in run.histories):
        drawn["grokking_progress"] = _progress(runs, sizes[0])
    for figure in drawn.values():
        figure.suptitle(f"Grokking: {task}, {seeds(runs)}")
    if len(runs) > 1:
        return drawn
    if len(runs[0].histories) > 1:
        drawn |= grokking_seeds.figures(runs[0], task)
    return drawn | grokking_spectra.figures(runs[0], task)


def named(run: Run) -> str:
    """The task of a run: "a+b mod 113"."""
    return f"{run.config['operation']} mod {run.config['modulus']}"


def _main(runs: list[Run], sizes: list[int]) -> Figure:
    figure, axes = page(3, 1, 7.5, sharex=True)
    panel(axes[0, 0], runs, {"test": "test/accuracy", "train": "train/accuracy"}, "accuracy")
    for axis, name in ((axes[1, 0], "mir"), (axes[2, 0], "hdr")):
        levels = {f"n = {n}": f"test/{name}_{n}" for n in sizes}
        levels[CLASS_LEVEL] = f"test/class_{name}"
        panel(axis, runs, levels, f"{name.upper()} (test)")
    axes[2, 0].set_xlabel("epoch")
    return figure


def _details(runs: list[Run], n: int) -> Figure:
    figure, grid = page(3, 2, 7.5, sharex=True)
    panels = [
        ({"test": "test/loss", "train": "train/loss"}, "cross-entropy (nats)", True),
        ({"test": "test/class_mir", "train": "train/class_mir"}, "MIR, class level", False),
        ({"test": "test/class_hdr", "train": "train/class_hdr"}, "HDR, class level", False),
        (
            {"features": f"test/entropy_features_{n}", "head": f"test/entropy_head_{n}"},
            f"matrix entropy (nats)\ntest, n = {n}",
            False,
        ),
        ({"": "weights/squared_norm"}, "sum of squared weights", False),
        ({"test": "test/nc1", "train": "train/nc1"}, "NC1", True),
    ]
    _fill(grid, runs, panels)
    return figure


def _progress(runs: list[Run], n: int) -> Figure:
    """The progress measures of Nanda et al. 2023, and MIR beside its chance level."""
    figure, grid = page(3, 2, 7.5, sharex=True)
    gini = {"embedding": "fourier/gini_embedding", "neurons to logits": "fourier/gini_logit_map"}
    mir = {"MIR": f"test/mir_{n}"}
    if all(f"test/chance_mir_{n}" in run.histories[0][-1] for run in runs):
        mir |= {"chance level": f"test/chance_mir_{n}", "corrected": f"test/corrected_mir_{n}"}
    panels = [
        (gini, "Gini coefficient\nof Fourier norms", False),
        ({"": "fourier/num_key_frequencies"}, "number of key frequencies", False),
        ({"test": "test/loss", "restricted": "test/restricted_loss"}, "test loss (nats)", True),
        ({"train": "train/loss", "excluded": "train/excluded_loss"}, "training loss (nats)", True),
        (mir, f"MIR, test, n = {n}", False),
        ({"": "test/effective_rank"}, "effective rank, test", False),
    ]
    _fill(grid, runs, panels)
    return figure


def _fill(
    grid: np.ndarray, runs: list[Run], panels: list[tuple[dict[str, str], str, bool]]
) -> None:
    """Draws panels: series, label of the y axis, and whether that is logarithmic."""
    for axis, (series, label, is_log) in zip(grid.flat, panels, strict=True):
        panel(axis, runs, series, label)
        if is_log and any(np.any(line.get_ydata() > 0) for line in axis.lines):
            axis.set_yscale("log")
    for axis in grid[-1]:
        axis.set_xlabel("epoch")
