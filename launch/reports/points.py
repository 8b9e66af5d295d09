"""The points of a study as a table: one row per point, one column per field or metric."""

from typing import Any, NamedTuple

import numpy as np

from launch.labels import label
from launch.ledger import Point
from launch.reports.html import Cell, Html, cell, finite, table

_SHOWN = 12  # columns before the reader asks for all
_FIRST = ("accuracy", "MIR", "HDR", "MIR before and after", "HDR before and after")
_ASIDE = ("train/", "batch/")
_GROUPS = 8  # with more values, a column forms no groups

Path = tuple[str, ...]


class Table(NamedTuple):
    """A table of points, and how to draw it.

    Attributes:
      html: the table.
      axes: titles of the columns that are drawn at first: x, y, and the groups ("" for none).
    """

    html: Html
    axes: tuple[str, str, str]


def of_points(points: list[Point], caption: str, titled: bool) -> Table:
    """Returns the table of a study's points."""
    rows = [dict(_leaves(point)) for point in points]
    paths = list(dict.fromkeys(path for row in rows for path in row))
    fields = [p for p in paths if not _is_metric(p) and not _varies_little(rows, p)]
    metrics = [p for p in paths if _is_metric(p)]
    shown = [*fields, *sorted(metrics, key=_interest)][:_SHOWN]
    columns = [*shown, *(p for p in (*fields, *metrics) if p not in shown)]
    titles = _titles(columns)
    html = table(
        [titles[p] for p in columns],
        [[_cell(row, p) for p in columns] for row in rows],
        caption,
        titled,
        [None if p in shown else "more" for p in columns],
        class_="points",
    )
    return Table(html, _axes(rows, fields, shown, titles))


def _leaves(value: Any, path: Path = ()) -> list[tuple[Path, Any]]:
    if not isinstance(value, dict):
        return [(path, value)]
    return [leaf for key, each in value.items() for leaf in _leaves(each, (*path, str(key)))]


def _is_metric(path: Path) -> bool:
    """Whether a path leads to a measured value: nested, and not a value of a grid; or a time."""
    return path == ("seconds",) or (len(path) > 1 and path[0] != "values")


def _varies_little(rows: list[dict[Path, Any]], path: Path) -> bool:
    """Whether a field repeats what others say: the name of a point of a grid."""
    return path == ("point",) and any(p[0] == "values" for row in rows for p in row)


def _interest(path: Path) -> tuple[bool, bool, float]:
    """Order of metrics: of the evaluated split, accuracies, MIR and HDR, then as known."""
    found = label(path[-1])
    first = found.quantity in _FIRST or any("accuracy" in part for part in path)
    return path[-1].startswith(_ASIDE), not first, found.rank


def _titles(paths: list[Path]) -> dict[Path, str]:
    """Titles of columns: the name of the last part, with those before it if others share it."""
    last = [str(label(path[-1])) for path in paths]
    return {
        path: name if last.count(name) == 1 else ": ".join((*path[:-1], name))
        for path, name in zip(paths, last, strict=True)
    }


def _cell(row: dict[Path, Any], path: Path) -> Cell:
    """The cell of a value; for a measured list of numbers, mean and standard deviation."""
    value = row.get(path)
    if not isinstance(value, list) or not _is_metric(path):
        return cell(value)
    numbers = [x for x in map(finite, _flat(value)) if x is not None]
    if not numbers:
        return cell(value)
    mean = float(np.mean(numbers))
    text = f" ± {np.std(numbers, ddof=1):.2g}" if len(numbers) > 1 else ""
    return Cell(f"{mean:.4g}{text}", mean, "number")


def _flat(value: Any) -> list[Any]:
    return [x for each in value for x in _flat(each)] if isinstance(value, list) else [value]


def _axes(
    rows: list[dict[Path, Any]], fields: list[Path], shown: list[Path], titles: dict[Path, str]
) -> tuple[str, str, str]:
    """What is drawn at first: the first metric of most points, against the field that varies most.

    Ties go to the first.
    """
    values = {p: [row[p] for row in rows if row.get(p) is not None] for p in (*fields, *shown)}
    counts = {p: len({str(v) for v in found}) for p, found in values.items()}
    varying = [p for p in fields if counts[p] > 1 and p != ("seed",)]
    numeric = [p for p in varying if all(finite(v) is not None for v in values[p])]
    x = max(numeric or varying[:1], key=lambda p: counts[p], default=(*fields, *shown)[0])
    y = max(filter(_is_metric, shown), key=lambda p: len(values[p]), default=x)
    group = next((p for p in varying if p != x and counts[p] <= _GROUPS), None)
    return titles[x], titles[y], titles[group] if group else ""
