"""What an experiment is: a module that `config.experiment` names, found and checked before it runs.

A name without dots is a module of `launch.experiments`; a name with dots is any module that Python
can import, so that an experiment may live in a package of its own.
"""

import importlib
from pathlib import Path
from typing import Any, Protocol, cast

from ml_collections import ConfigDict

from infojax.errors import UserError
from launch.plots import Figures
from launch.runs import Run


class Experiment(Protocol):
    """A module with these functions."""

    def run(self, config: ConfigDict, workdir: Path) -> None:
        """Trains and measures, or continues; writes summary.json and figures."""

    def figures(self, runs: list[Run]) -> Figures:
        """Draws the figures of one run, or of several on the same axes, by name."""


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


def load(name: str) -> Experiment:
    """Returns the module of an experiment.

    Raises:
      UserError: there is no such module, or it lacks a function.
    """
    return cast(Experiment, _module(name, "experiment", ("run", "figures")))


def load_sweepable(name: str) -> Sweepable:
    """Returns the module of an experiment that a grid can run.

    Raises:
      UserError: there is no such module, or it lacks a name of `Sweepable`.
    """
    names = ("TRACED", "check", "build", "run_seed")
    return cast(Sweepable, _module(name, "point_experiment", names))


def _module(name: str, field: str, needed: tuple[str, ...]) -> Any:
    path = name if "." in name else f"launch.experiments.{name}"
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and not f"{path}.".startswith(f"{error.name}."):
            raise  # the experiment exists, but something it imports does not
        raise UserError(f"{field} = {name!r} is unknown: there is no module {path}") from error
    except (TypeError, ValueError) as error:  # of names that are empty or begin with a dot
        raise UserError(f"{field} = {name!r} is not the name of a module") from error
    missing = [attribute for attribute in needed if not hasattr(module, attribute)]
    if missing:
        raise UserError(f"{field} = {name!r} cannot be run: {path} has no {', '.join(missing)}")
    return module
