"""The points of a grid: their settings and directories, checked before any of them runs."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import PurePath
from typing import Any

from ml_collections import ConfigDict

from infojax.errors import UserError
from launch import forms
from launch.experiment import Sweepable
from launch.settings import derived

_STUDY = ("fields", "points", "table_metrics", "point_experiment")
# Points share their experiment and their seeds, which pair them.
_SHARED = ("experiment", "seed", "num_seeds", *_STUDY)
_LONGEST_NAME = 255  # bytes of a path's part that file systems allow


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
    """Raises UserError if the grid or one of its points cannot be run."""
    _check_fields(config)
    _check_rows(config)
    _check_names([name_of(dict(zip(config.fields, row, strict=True))) for row in config.points])
    metrics = tuple(config.table_metrics)
    if not metrics or len(set(metrics)) < len(metrics):
        raise UserError("table_metrics must name at least one recorded metric, each of them once")
    for _, point in points(config):
        forms.check_amounts(point)
        swept.check(point)
        lost = [m for m in metrics if m.startswith("test/")]
        if lost and "validation_fraction" in point and point.validation_fraction:
            raise UserError(
                f"table_metrics holds {lost[0]!r}, but validation_fraction = "
                f"{point.validation_fraction} replaces test by validation: rename its metrics"
            )


def _check_fields(config: ConfigDict) -> None:
    fields = tuple(config.fields)
    if not fields or len(set(fields)) < len(fields) or any(f not in config for f in fields):
        raise UserError(f"fields = {fields} must name fields of the config, each of them once")
    for name in fields:
        if name in _SHARED:
            raise UserError(f"fields holds {name!r}, in which the points of a grid cannot differ")


def _check_rows(config: ConfigDict) -> None:
    fields = tuple(config.fields)
    for row in config.points:
        if not isinstance(row, tuple):
            raise UserError(
                f"points must hold tuples, one value per field; got {row!r:.40}: write "
                "--config.points='((A,), (B,))' in quotes"
            )
        if len(row) != len(fields):
            raise UserError(f"each row of points must hold {len(fields)} values, one per field")
        for name, value in zip(fields, row, strict=True):
            if wrong := forms.problem(value, config[name]):
                raise UserError(f"points: {name} {wrong}")
    rows = set(config.points)
    if not rows or len(rows) < len(config.points):
        raise UserError("points must hold at least one row of values, each of them once")


def _check_names(names: list[str]) -> None:
    """Raises UserError for points whose directories would coincide, or lie outside the run's."""
    paths = [PurePath(name) for name in names]
    for path in paths:
        if path.is_absolute() or ".." in path.parts or any(map(_too_long, path.parts)):
            raise UserError(f"points: {str(path)!r:.60} cannot be the name of a directory")
    for one, other in pairwise(sorted(paths)):
        if other.is_relative_to(one):
            raise UserError(f"points: {str(one)!r} and {str(other)!r} would share a directory")


def _too_long(part: str) -> bool:
    return len(part.encode()) > _LONGEST_NAME


def missing_metrics(names: Iterable[str], record: dict[str, float]) -> list[str]:
    """Returns the metrics that a record should hold but does not.

    Metrics of a step's own batch begin after step 0.
    """
    return [m for m in names if m not in record and (record["step"] or not m.startswith("batch/"))]
