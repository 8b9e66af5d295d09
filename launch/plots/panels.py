"""Runs as read from disk, and the panels that figures are made of. Matplotlib is set up here."""

import json
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from infojax.errors import UserError
from infojax.training.recorder import read_records

Figures = dict[str, plt.Figure]

# Okabe & Ito's colours, told apart by colour-blind readers and by their lightness in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", ":")


class Run(NamedTuple):
    """A run as read from its directory: one history of records for each seed."""

    name: str
    workdir: Path
    config: dict
    histories: list[list[dict[str, float]]]


def load_run(workdir: Path) -> Run:
    """Reads a run's directory.

    Raises:
      UserError: it is not a run.
    """
    path = workdir / "config.json"
    if not path.exists():
        raise UserError(f"{workdir} is not a run: it has no config.json")
    try:
        config = json.loads(path.read_text())
    except ValueError:
        config = None
    if not isinstance(config, dict) or "experiment" not in config:
        raise UserError(f"{path} is damaged: it holds no config of an experiment")
    found = [p for p in workdir.glob("seed-*") if p.name.removeprefix("seed-").isdecimal()]
    seeds = sorted(found, key=lambda p: int(p.name.removeprefix("seed-")))
    histories = [h for h in map(read_records, seeds or [workdir]) if h and h[-1]["step"] > 0]
    return Run(workdir.resolve().name, workdir, config, histories)


def require_records(runs: list[Run]) -> None:
    """Raises UserError for a run that has recorded nothing yet."""
    for run in runs:
        if not run.histories:
            raise UserError(
                f"{run.workdir} holds no records yet: none in metrics.jsonl after step 0"
            )


def panel(
    axis: Axes, runs: list[Run], series: dict[str, str], label: str, log: bool = True
) -> None:
    """Draws series (name in the legend to name of the metric) of all runs over (log) steps.

    Colours tell series apart where there is one run, and runs where there are several.
    """
    for i, run in enumerate(runs):
        for j, (name, metric) in enumerate(series.items()):
            step, values = table(run, metric)
            colour = COLOURS[(i if len(runs) > 1 else j) % len(COLOURS)]
            parts = [run.name] * (len(runs) > 1) + [name] * (name != "")
            axis.plot(
                step,
                np.mean(values, 0),
                STYLES[j % len(STYLES)],
                color=colour,
                linewidth=1.6,
                label=", ".join(parts),
            )
            if len(values) > 1:
                axis.fill_between(
                    step, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0
                )
    if log:
        axis.set_xscale("log")
    axis.set_ylabel(label)
    axis.grid(alpha=0.3, linewidth=0.6)
    if len(runs) > 1 or len(series) > 1:
        axis.legend(fontsize="small", frameon=False)


def table(run: Run, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps [t] from 1 on and values [seeds, t], at the steps that all seeds have reached.

    Raises:
      UserError: a record lacks the metric.
    """
    try:
        columns = [{r["step"]: r[metric] for r in h if r["step"] > 0} for h in run.histories]
    except KeyError as error:
        raise UserError(f"a record in {run.workdir} lacks {error}") from error
    steps = sorted(set.intersection(*(set(c) for c in columns)))
    return np.array(steps), np.array([[c[s] for s in steps] for c in columns])


def seeds(runs: list[Run]) -> str:
    """Says how many seeds the lines and bands are of."""
    counts = sorted({len(run.histories) for run in runs})
    if counts == [1]:
        return "1 seed"
    return f"mean and range of {' or '.join(map(str, counts))} seeds"
