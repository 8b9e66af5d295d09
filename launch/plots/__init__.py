"""Figures of runs, drawn from what the runs wrote. Matplotlib is used only in this package."""

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt

from infojax.errors import UserError
from launch.plots import (
    crossmodal,
    grokking,
    mode_connectivity,
    prompt_learning,
    pruning,
    semisupervised,
    supervised,
    sweep,
)
from launch.plots.panels import Figures, Run, load_run

__all__ = ["Run", "draw", "load_run"]

_FIGURES: dict[str, Callable[[list[Run]], Figures]] = {
    "crossmodal": crossmodal.figures,
    "grokking": grokking.figures,
    "prompt_learning": prompt_learning.figures,
    "mode_connectivity": mode_connectivity.figures,
    "pruning": pruning.figures,
    "semisupervised": semisupervised.figures,
    "supervised": supervised.figures,
    "sweep": sweep.figures,
}


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
    if experiments[0] not in _FIGURES:
        raise UserError(f"there are no figures for the experiment {experiments[0]!r}")
    if len({run.name for run in runs}) < len(runs):
        runs = [r._replace(name=str(path)) for r, path in zip(runs, workdirs, strict=True)]
    figures = _FIGURES[experiments[0]](runs)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        paths.append(directory / f"{name}.png")
        figure.savefig(paths[-1], dpi=150)
        plt.close(figure)
    return paths
