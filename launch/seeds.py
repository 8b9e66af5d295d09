"""Runs of several seeds: a directory for each seed, and one summary and set of figures for all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from infojax.training import processes, read_records, storage
from launch import plots
from launch.runs import History


def of(config: ConfigDict) -> range:
    """The seeds of a config."""
    return range(config.seed, config.seed + config.num_seeds)


def directories(workdir: Path, config: ConfigDict) -> dict[int, Path]:
    """The directory of each seed: the run's own for a single seed, else seed-K inside it."""
    seeds = of(config)
    return {seed: workdir if len(seeds) == 1 else workdir / f"seed-{seed}" for seed in seeds}


def run(
    config: ConfigDict,
    workdir: Path,
    run_seed: Callable[[int, Path], Any],
    summarize: Callable[[list[History]], dict[str, Any]],
    figures: plots.Draw,
) -> None:
    """Trains every seed, or continues; writes the summary and draws the figures.

    Args:
      config: of the run.
      workdir: where the run is kept.
      run_seed: trains a seed in its directory.
      summarize: from the records of each seed to the content of summary.json.
      figures: draws the figures of runs.
    """

    def one_by_one(places: dict[int, Path]) -> None:
        for seed, directory in places.items():
            run_seed(seed, directory)

    run_together(config, workdir, one_by_one, summarize, figures)


def run_together(
    config: ConfigDict,
    workdir: Path,
    run_seeds: Callable[[dict[int, Path]], Any],
    summarize: Callable[[list[History]], dict[str, Any]],
    figures: plots.Draw,
) -> None:
    """`run` for experiments that train all seeds at once, each in its directory."""
    places = directories(workdir, config)
    run_seeds(places)
    if processes.first():
        histories = [read_records(directory) for directory in places.values()]
        storage.write_json(workdir / "summary.json", summarize(histories))
        plots.draw(figures, [workdir], workdir / "figures")
