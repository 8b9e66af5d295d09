"""Figures of runs, drawn from what the runs wrote. Matplotlib is used only here."""

import json
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from infojax.errors import UserError
from infojax.recorder import read_records

# Okabe & Ito's colours, told apart by colour-blind readers and by their lightness in print.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", ":")


class Run(NamedTuple):
    """A run as read from its directory: one history of records for each seed."""

    name: str
    config: dict
    histories: list[list[dict[str, float]]]


def load_run(workdir: Path) -> Run:
    """Reads a run's directory.

    Raises:
      UserError: it is not a run, or nothing was recorded yet.
    """
    path = workdir / "config.json"
    if not path.exists():
        raise UserError(f"{workdir} is not a run: it has no config.json")
    seeds = sorted(workdir.glob("seed-*"), key=lambda p: int(p.name.removeprefix("seed-")))
    histories = [h for h in map(read_records, seeds or [workdir]) if h and h[-1]["step"] > 0]
    if not histories:
        raise UserError(f"{workdir} holds no records yet: none in metrics.jsonl after step 0")
    return Run(workdir.resolve().name, json.loads(path.read_text()), histories)


def draw(workdirs: list[Path], directory: Path) -> list[Path]:
    """Draws the figures of one run, or of several on the same axes.

    Args:
      workdirs: directories of runs of one experiment.
      directory: where the figures are put.

    Returns:
      The files written.

    Raises:
      UserError: a directory is not a run, or the runs are of several experiments.
    """
    runs = [load_run(workdir) for workdir in workdirs]
    experiments = sorted({run.config["experiment"] for run in runs})
    if len(experiments) > 1:
        raise UserError(
            f"runs of different experiments cannot share axes: {', '.join(experiments)}"
        )
    if experiments[0] not in _DRAWN:
        raise UserError(f"there are no figures for the experiment {experiments[0]!r}")
    if len({run.name for run in runs}) < len(runs):
        runs = [r._replace(name=str(path)) for r, path in zip(runs, workdirs, strict=True)]
    figures = _DRAWN[experiments[0]](runs)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        paths.append(directory / f"{name}.png")
        figure.savefig(paths[-1], dpi=150)
        plt.close(figure)
    return paths


def _grokking(runs: list[Run]) -> dict[str, plt.Figure]:
    common = set.intersection(*(set(run.config["metric_batch_sizes"]) for run in runs))
    if not common:
        raise UserError("the runs have none of their metric_batch_sizes in common")
    sizes = sorted(common, reverse=True)
    p = runs[0].config["modulus"]
    title = f"Grokking: {runs[0].config['operation']} mod {p}, {_seeds(runs)}"

    main, axes = plt.subplots(3, 1, figsize=(7, 8), sharex=True, layout="constrained")
    _panel(axes[0], runs, {"test": "test/accuracy", "train": "train/accuracy"}, "accuracy")
    _panel(axes[1], runs, {f"n = {n}": f"test/mir_{n}" for n in sizes}, "MIR (test batch)")
    _panel(axes[2], runs, {f"n = {n}": f"test/hdr_{n}" for n in sizes}, "HDR (test batch)")
    for axis in axes:
        axis.set_ylim(-0.03, 1.03)
    axes[2].set_xlabel("epoch")
    main.suptitle(title)

    details, grid = plt.subplots(2, 3, figsize=(12, 6.5), sharex=True, layout="constrained")
    n = sizes[0]
    panels = [
        ({"test": "test/loss", "train": "train/loss"}, "cross-entropy (nats)", True),
        ({"test": "test/class_mir", "train": "train/class_mir"}, "MIR, class level", False),
        ({"test": "test/class_hdr", "train": "train/class_hdr"}, "HDR, class level", False),
        (
            {"features": f"test/entropy_features_{n}", "head": f"test/entropy_head_{n}"},
            f"matrix entropy (nats), test, n = {n}",
            False,
        ),
        ({"": "weights/squared_norm"}, "sum of squared weights", False),
        ({"test": "test/nc1", "train": "train/nc1"}, "NC1", True),
    ]
    for axis, (series, label, is_log) in zip(grid.flat, panels, strict=True):
        _panel(axis, runs, series, label)
        if is_log and any(np.any(line.get_ydata() > 0) for line in axis.lines):
            axis.set_yscale("log")
    for axis in grid[1]:
        axis.set_xlabel("epoch")
    details.suptitle(title)
    return {"grokking": main, "grokking_details": details}


def _panel(axis: Axes, runs: list[Run], series: dict[str, str], label: str) -> None:
    """Draws series (name in the legend to name of the metric) of all runs over log epochs.

    Colours tell series apart where there is one run, and runs where there are several.
    """
    for i, run in enumerate(runs):
        for j, (name, metric) in enumerate(series.items()):
            step, values = _table(run, metric)
            colour = _COLOURS[(i if len(runs) > 1 else j) % len(_COLOURS)]
            parts = [run.name] * (len(runs) > 1) + [name] * (name != "")
            axis.plot(
                step,
                np.mean(values, 0),
                _STYLES[j % len(_STYLES)],
                color=colour,
                linewidth=1.6,
                label=", ".join(parts),
            )
            if len(values) > 1:
                axis.fill_between(
                    step, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0
                )
    axis.set_xscale("log")
    axis.set_ylabel(label)
    axis.grid(alpha=0.3, linewidth=0.6)
    if len(runs) > 1 or len(series) > 1:
        axis.legend(fontsize="small", frameon=False)


def _table(run: Run, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps [t] from 1 on and values [seeds, t], at the steps that all seeds have reached."""
    columns = [{r["step"]: r[metric] for r in h if r["step"] > 0} for h in run.histories]
    steps = sorted(set.intersection(*(set(c) for c in columns)))
    return np.array(steps), np.array([[c[s] for s in steps] for c in columns])


def _seeds(runs: list[Run]) -> str:
    count = max(len(run.histories) for run in runs)
    return "1 seed" if count == 1 else f"mean and range of {count} seeds"


_DRAWN = {"grokking": _grokking}
