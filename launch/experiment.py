"""What an experiment is: a module that `config.experiment` names, found and checked before it runs.

An experiment may live in a package of its own: `launch.modules` finds it by name.
"""

from pathlib import Path
from typing import Any, Protocol, cast

from ml_collections import ConfigDict

from launch import modules
from launch.plots import Figures
from launch.runs import Run
from launch.trained import Network


class Experiment(Protocol):
    """A module with these functions."""

    def run(self, config: ConfigDict, workdir: Path) -> None:
        """Trains and measures, or continues; writes summary.json and figures."""

    def figures(self, runs: list[Run]) -> Figures:
        """Draws the figures of one run, or of several on the same axes, by name."""


class Loadable(Experiment, Protocol):
    """An experiment whose trained networks `launch.runs.load` reads."""

    def read_network(self, config: ConfigDict, directory: Path) -> Network:
        """Returns the network that a config trains, as found in the directory of a seed."""


def why_not_longer(module: Experiment) -> str | None:
    """Why a run that has begun cannot be given a larger `num_steps`.

    Args:
      module: an experiment, which states the reason as `WHY_NOT_LONGER`.

    Returns:
      The reason; "" if it can, and then ends as if it had started with that `num_steps`; None if
      the experiment does not say.
    """
    return getattr(module, "WHY_NOT_LONGER", None)


class Sweepable(Experiment, Protocol):
    """An experiment that a grid (`launch.experiments.sweep`) can run at each of its points.

    Points whose configs differ in `TRACED` fields alone share a program, so that nothing is
    compiled again.
    """

    TRACED: frozenset[str]

    def check(self, config: ConfigDict) -> None:
        """Raises UserError for settings that cannot be run."""

    def build(self, config: ConfigDict) -> Any:
        """Returns what all seeds and all values of `TRACED` share: data, model, compiled code."""

    def run_seed(self, program: Any, config: ConfigDict, seed: int, directory: Path) -> Any:
        """Trains one seed in a directory, or continues; its records end up in metrics.jsonl."""


class Ensemble(Sweepable, Protocol):
    """A sweepable experiment that trains several seeds at once."""

    def run_seeds(self, program: Any, config: ConfigDict, places: dict[int, Path]) -> Any:
        """Trains the seeds of `places`, each in its directory, as `run_seed` would."""


class Checking(Sweepable, Protocol):
    """A sweepable experiment whose settings must fit the data, which `check` does not read."""

    def check_on_data(self, program: Any, built_for: ConfigDict, config: ConfigDict) -> None:
        """Raises UserError if settings that share a program's data do not fit them."""


class Comparable(Sweepable, Protocol):
    """A sweepable experiment that compares the points of a grid beyond its table.

    Both functions take the finished points in the order of the grid, the reference first.
    """

    def compare(self, points: list[Run]) -> tuple[dict[str, Any], str]:
        """Returns further content of the grid's summary.json, and Markdown for its table.md."""

    def comparison_figures(self, points: list[Run]) -> Figures:
        """Draws further figures of the grid."""


def load(name: str) -> Experiment:
    """Returns the module of an experiment.

    Raises:
      UserError: there is no such module, or it lacks a function.
    """
    return cast(Experiment, modules.find(name, "experiment", ("run", "figures")))


def load_sweepable(name: str) -> Sweepable:
    """Returns the module of an experiment that a grid can run.

    Raises:
      UserError: there is no such module, or it lacks a name of `Sweepable`.
    """
    names = ("TRACED", "check", "build", "run_seed")
    return cast(Sweepable, modules.find(name, "point_experiment", names))
