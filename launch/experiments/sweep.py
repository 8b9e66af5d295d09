"""A grid of runs that differ in a few fields, on the same seeds, compared in pairs."""

import functools
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from ml_collections import ConfigDict

from infojax.errors import UserError
from infojax.training import processes, read_records, recorder, storage
from launch import experiment, ledger, plots, seeds
from launch.experiment import Checking, Comparable, Ensemble, Sweepable
from launch.grids import check as check, missing_metrics, name_of, points as points
from launch.ledger import Ledger
from launch.plots import Figures
from launch.plots.sweep import figures as figures_of_table
from launch.results import sweep
from launch.runs import Run, load_run, model_name, read_summary, the_only
from launch.settings import nearest
from launch.thinning import thinned


def run(config: ConfigDict, workdir: Path) -> None:
    """Runs every point that is missing; table, summary and figures grow with each."""
    swept = experiment.load_sweepable(config.point_experiment)
    check(config, swept)
    grid = {name_of(values): (values, point) for values, point in points(config)}
    keys = [(name, seed) for name, (_, point) in grid.items() for seed in seeds.of(point)]
    program, built_for = None, None
    with Ledger(workdir, ("point", "seed"), keys, config.table_metrics) as book:
        _check_records(book.points, config, workdir)
        if not book.missing:  # the run may have ended before the last report
            report(book.points, config, workdir)
        for name, missing in itertools.groupby(list(book.missing), lambda key: key[0]):
            values, point = grid[name]
            static = {k: v for k, v in point.to_dict().items() if k not in swept.TRACED}
            if program is None or static != built_for:
                first, program, built_for = program is None, swept.build(point), static
                if first and hasattr(swept, "check_on_data"):
                    for _, other in grid.values():
                        cast(Checking, swept).check_on_data(program, point, other)
            directory = workdir / "points" / name
            places = seeds.directories(directory, point)
            if processes.first():
                with storage.writing(directory):
                    directory.mkdir(parents=True, exist_ok=True)
                storage.write_json(directory / "config.json", json.loads(point.to_json()))
            for group in _groups(swept, {seed: places[seed] for _, seed in missing}):
                with recorder.mirrored(functools.partial(_Watch, config.table_metrics)):
                    _train(swept, program, point, group)
                for seed, place in group.items():
                    last = _last_record(place)
                    book.append((name, seed), {"values": values, "record": last}, last)
            report(book.points, config, workdir)
    if processes.first():
        print((workdir / "table.md").read_text())


def _groups(swept: Sweepable, places: dict[int, Path]) -> list[dict[int, Path]]:
    """The seeds that are trained together: all of them if the experiment supports it."""
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


def _check_records(points: list[ledger.Point], config: ConfigDict, workdir: Path) -> None:
    """Raises UserError for a finished point that lacks a metric of the table."""
    for i, point in enumerate(points, 1):
        record = point["record"] if isinstance(point.get("record"), dict) else {}
        for name in (*config.table_metrics, "seconds"):
            if not isinstance(record.get(name), int | float):
                raise ledger.damaged(i, workdir / ledger.FILE, f"its record has no {name}")


class _Watch:
    """Ends a study when a record lacks a metric of its table, since it will never be recorded."""

    def __init__(self, metrics: Sequence[str], directory: Path) -> None:
        self._metrics, self._directory = metrics, directory

    def resume(self, records: list[recorder.Record]) -> None:
        if records:
            self.write(records[-1])

    def write(self, record: recorder.Record) -> None:
        missing = missing_metrics(self._metrics, record)
        if not missing:
            return
        if record["step"] == 0:  # nothing is trained yet: another table_metrics may replace this
            (self._directory / recorder.FILE).unlink()
        hint = nearest(missing[0], {name: name for name in record})
        known = hint or f"; {', '.join(name for name in record if '/' in name)} are"
        raise UserError(f"table_metrics: {missing[0]!r} is not recorded{known}")

    def close(self) -> None:
        pass


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
    """Draws `sweep`, and the comparison figures of the points' experiment."""
    run = the_only(runs)
    drawn = figures_of_table(runs)
    compare = _comparable(run.config["point_experiment"])
    if compare is None:
        return drawn
    summary = read_summary(run.workdir)
    return drawn | compare.comparison_figures(list(map(thinned, _runs(run.workdir, summary))))


def _comparable(name: str) -> Comparable | None:
    swept = experiment.load_sweepable(name)
    return cast(Comparable, swept) if hasattr(swept, "compare") else None


def _runs(workdir: Path, summary: dict[str, Any]) -> list[Run]:
    """The points of a summary, as runs."""
    names = [name_of(p["values"]) for p in summary["points"]]  # with nested directories, as for a/b
    return [load_run(workdir / "points" / name)._replace(name=name) for name in names]


def _whole(finished: list[ledger.Point], config: ConfigDict) -> list[sweep.Point]:
    """The points all of whose seeds are finished, in the order of the grid."""
    found = []
    for values, point in points(config):
        own = {p["seed"]: p["record"] for p in finished if p["point"] == name_of(values)}
        if own.keys() == set(seeds.of(point)):
            found.append(sweep.Point(values, own))
    return found
