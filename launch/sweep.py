"""A grid of runs that differ in a few fields, on the same seeds, compared in pairs."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from infojax.errors import UserError
from infojax.training import processes
from infojax.training.recorder import read_records
from launch import comparison, plots, seeds
from launch.workdir import write_json


def run(config: ConfigDict, workdir: Path) -> None:
    """Runs every point that is not done yet; table, summary and figures grow with each."""
    experiment = importlib.import_module(f"launch.{config.point_experiment}")
    check(config, experiment)
    program, built_for = None, None
    done: list[comparison.Point] = []
    for _, point in points(config):
        experiment.check(point)
    for values, point in points(config):
        directory = workdir / "points" / name_of(values)
        static = {k: v for k, v in point.to_dict().items() if k not in experiment.TRACED}
        for seed, at in seeds.directories(directory, point).items():
            if program is None or static != built_for:
                program, built_for = experiment.build(point), static
            if processes.first():
                print(f"{name_of(values)}, seed {seed}", flush=True)
            experiment.run_seed(program, point, seed, at)
        if not processes.first():
            continue
        write_json(directory / "config.json", json.loads(point.to_json()))
        done.append(_read(directory, point, values, config.table_metrics))
        summary = comparison.summarize(done, list(config.table_metrics))
        write_json(workdir / "summary.json", summary)
        (workdir / "table.md").write_text(comparison.markdown(summary))
        plots.draw([workdir], workdir / "figures")
    if processes.first():
        print(comparison.markdown(comparison.summarize(done, list(config.table_metrics))))


def points(config: ConfigDict) -> Iterator[tuple[dict[str, Any], ConfigDict]]:
    """The values of each point, and the configuration that they make."""
    for row in config.points:
        values = dict(zip(config.fields, row, strict=True))
        point = config.copy_and_resolve_references()
        with point.unlocked():
            for name in ("fields", "points", "table_metrics", "point_experiment"):
                del point[name]
            point.experiment = config.point_experiment
        point.update(values)
        yield values, point


def name_of(values: dict[str, Any]) -> str:
    """The directory of a point."""
    return ",".join(f"{name}={value}" for name, value in values.items())


def check(config: ConfigDict, experiment: Any) -> None:
    """Raises UserError for a grid that cannot be run."""
    if not hasattr(experiment, "TRACED"):
        raise UserError(f"point_experiment = {config.point_experiment!r} cannot be swept")
    unknown = [name for name in config.fields if name not in config]
    if unknown or not config.fields:
        raise UserError(f"fields = {tuple(config.fields)} must name fields of the config")
    rows = [tuple(row) for row in config.points]
    if not rows or len(set(rows)) < len(rows):
        raise UserError("points must hold at least one row of values, each of them once")
    if any(len(row) != len(config.fields) for row in rows):
        raise UserError(f"each row of points must hold {len(config.fields)} values, one a field")


def _read(directory: Path, point: ConfigDict, values: dict, metrics) -> comparison.Point:
    last = {s: read_records(at)[-1] for s, at in seeds.directories(directory, point).items()}
    missing = [name for name in metrics if any(name not in record for record in last.values())]
    if missing:
        raise UserError(f"table_metrics: {missing[0]!r} is not recorded")
    return comparison.Point(values, last)
