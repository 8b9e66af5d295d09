"""Figures of runs, drawn from what the runs wrote. Matplotlib is used only in this package."""

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt

from infojax.errors import UserError
from infojax.training import storage
from launch.plots.panels import Figures
from launch.runs import Run, load_run
from launch.thinning import thinned

__all__ = ["Draw", "Figures", "draw", "save"]

Draw = Callable[[list[Run]], Figures]


def draw(figures: Draw, workdirs: list[Path], directory: Path) -> list[Path]:
    """Draws the figures of one run, or of several on the same axes.

    Args:
      figures: of the experiment that ran.
      workdirs: directories of its runs.
      directory: where the figures are saved.

    Returns:
      The files written.

    Raises:
      UserError: a directory is not a run, or the runs are of several experiments.
    """
    runs = [thinned(load_run(workdir)) for workdir in workdirs]
    experiments = sorted({run.config["experiment"] for run in runs})
    if len(experiments) > 1:
        raise UserError(
            f"runs of different experiments cannot share axes: {', '.join(experiments)}"
        )
    if len({run.name for run in runs}) < len(runs):
        runs = [r._replace(name=str(path)) for r, path in zip(runs, workdirs, strict=True)]
    return save(figures(runs), directory)


def save(drawn: Figures, directory: Path) -> list[Path]:
    """Saves figures by name in a directory, and closes them; returns the files."""
    paths = [directory / f"{name}.png" for name in drawn]
    with storage.writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        for path, figure in zip(paths, drawn.values(), strict=True):
            figure.savefig(path, dpi=150)
            plt.close(figure)
    return paths
