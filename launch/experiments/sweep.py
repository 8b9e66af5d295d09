"""A grid of runs that differ in a few fields, on the same seeds, compared in pairs."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from ml_collections import ConfigDict

from infojax.errors import UserError
from infojax.training import processes, read_records, storage
from launch import experiment, ledger, plots, seeds
from launch.experiment import Comparable, Ensemble, Sweepable
from launch.ledger import Ledger
from launch.plots import Figures
from launch.plots.sweep import figures as figures_of_table
from launch.results import sweep
from launch.runs import Run, load_run, model_name, the_only
from launch.settings import derived

_STUDY = ("fields", "points", "table_metrics", "point_experiment")


def run(config: ConfigDict, workdir: Path) -> None:
    """Runs every point that is missing; table, summary and figures grow with each."""
    swept = experiment.load_sweepable(config.point_experiment)
    check(config, swept)
    grid = {name_of(values): (values, point) for values, point in points(config)}
    keys = [(name, seed) for name, (_, point) in grid.items() for seed in seeds.of(point)]
    program, built_for = None, None
    with Ledger(workdir, ("point", "seed"), keys, config.table_metrics) as book:
        if not book.missing:  # the run may have ended before the last report
            report(book.points, config, workdir)
        for name, missing in itertools.groupby(list(book.missing), lambda key: key[0]):
            values, point = grid[name]
            static = {k: v for k, v in point.to_dict().items() if k not in swept.TRACED}
            if program is None or static != built_for:
                program, built_for = swept.build(point), static
            directory = workdir / "points" / name
            places = seeds.directories(directory, point)
            if processes.first():
                with storage.writing(directory):
                    directory.mkdir(parents=True, exist_ok=True)
                storage.write_json(directory / "config.json", json.loads(point.to_json()))
            for group in _groups(swept, {seed: places[seed] for _, seed in missing}):
                _train(swept, program, point, group)
                for seed, place in group.items():
                    last = _last_record(place)
                    book.append((name, seed), {"values": values, "record": last}, last)
            report(book.points, config, workdir)
    if processes.first():
        print((workdir / "table.md").read_text())


def _groups(swept: Sweepable, places: dict[int, Path]) -> list[dict[int, Path]]:
    """The seeds that are trained together: all of them if the experiment can."""
    if hasattr(swept, "run_seeds"):
        return [places]
    return [{seed: place} for seed, place in places.items()]


def _train(swept: Sweepable, program: Any, point: ConfigDict, places: dict[int, Path]) -> None:
    """Trains seeds of a point, each in its place."""
    if processes.first():
        for seed, place in places.items():
            print(f"{place}: seed {seed}", flush=True)
    if hasattr(swept, "run_seeds"):
        cast(Ensemble, swept).run_seeds(program, point, places)
        return
    for seed, place in places.items():
        swept.run_seed(program, point, seed, place)


def _last_record(place: Path) -> dict[str, float]:
    return processes.from_first(lambda: read_records(place)[-1])


def report(finished: list[ledger.Point], config: ConfigDict, workdir: Path) -> None:
    """Writes the summary and the table of the points that are finished, and draws the figures."""
    if not processes.first():
        return
    whole = _whole(finished, config)
    summary = sweep.summarize(whole, list(config.table_metrics))
    if "model" in config:
        summary["model"] = ", ".join(sorted({model_name(point) for _, point in points(config)}))
    table = sweep.markdown(summary)
    compare = _comparable(config.point_experiment)
    if compare:
        further, text = compare.compare(_runs(workdir, summary))
        summary, table = summary | further, f"{table}\n{text}"
    storage.write_json(workdir / "summary.json", summary)
    with storage.writing(workdir / "table.md"):
        (workdir / "table.md").write_text(table)
    plots.draw(figures, [workdir], workdir / "figures")


def figures(runs: list[Run]) -> Figures:
    """Draws `sweep`, and what the experiment of the points draws of their comparison."""
    run = the_only(runs)
    drawn = figures_of_table(runs)
    compare = _comparable(run.config["point_experiment"])
    if compare is None:
        return drawn
    summary = json.loads((run.workdir / "summary.json").read_text())
    return drawn | compare.comparison_figures(_runs(run.workdir, summary))


def _comparable(name: str) -> Comparable | None:
    swept = experiment.load_sweepable(name)
    return cast(Comparable, swept) if hasattr(swept, "compare") else None


def _runs(workdir: Path, summary: dict[str, Any]) -> list[Run]:
    """The points of a summary, as runs."""
    return [load_run(workdir / "points" / name_of(p["values"])) for p in summary["points"]]


def _whole(finished: list[ledger.Point], config: ConfigDict) -> list[sweep.Point]:
    """The points all of whose seeds are finished, in the order of the grid."""
    found = []
    for values, point in points(config):
        own = {p["seed"]: p["record"] for p in finished if p["point"] == name_of(values)}
        if own.keys() == set(seeds.of(point)):
            found.append(sweep.Point(values, own))
    missing = [
        m for m in config.table_metrics for p in found for r in p.records.values() if m not in r
    ]
    if missing:
        raise UserError(f"table_metrics: {missing[0]!r} is not recorded")
    return found


def points(config: ConfigDict) -> Iterator[tuple[dict[str, Any], ConfigDict]]:
    """The values of each point, and its config."""
    for row in config.points:
        values = dict(zip(config.fields, row, strict=True))
        point = derived(config, _STUDY, experiment=config.point_experiment, **values)
        yield values, point


def name_of(values: dict[str, Any]) -> str:
    """The directory of a point."""
    return ",".join(f"{name}={value}" for name, value in values.items())


def check(config: ConfigDict, swept: Sweepable) -> None:
    """Raises UserError for a grid that cannot be run, or a point of it."""
    unknown = [name for name in config.fields if name not in config]
    if unknown or not config.fields:
        raise UserError(f"fields = {tuple(config.fields)} must name fields of the config")
    rows = [tuple(row) for row in config.points]
    if not rows or len(set(rows)) < len(rows):
        raise UserError("points must hold at least one row of values, each of them once")
    if any(len(row) != len(config.fields) for row in rows):
        raise UserError(f"each row of points must hold {len(config.fields)} values, one per field")
    for _, point in points(config):
        swept.check(point)
        lost = [m for m in config.table_metrics if m.startswith("test/")]
        if lost and "validation_fraction" in point and point.validation_fraction:
            raise UserError(
                f"table_metrics holds {lost[0]!r}, but validation_fraction = "
                f"{point.validation_fraction} replaces test by validation: rename its metrics"
            )
