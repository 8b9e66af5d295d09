"""Points of a grid against the first of them: spreads, paired differences, and their table."""

from typing import Any, NamedTuple

from launch.labels import label
from launch.results import comparisons
from launch.results.observations import Observation, spread_by, written


class Point(NamedTuple):
    """A point of a grid: its values, and the last record of each seed."""

    values: dict[str, Any]
    records: dict[int, dict[str, float]]


def summarize(points: list[Point], metrics: list[str]) -> dict[str, Any]:
    """Returns the content of summary.json.

    Args:
      points: the grid, the reference first, all with the same seeds.
      metrics: names of the metrics to compare.

    Returns:
      `seeds`; `points`, for each its values and, by metric, mean, std, by_seed and the paired
      difference from the first point; `seconds`, the sum over all runs; `observations`.
    """
    rows = [
        {"values": p.values, "metrics": {m: _compared(points[0], p, m) for m in metrics}}
        for p in points
    ]
    return {
        "seeds": list(points[0].records),
        "points": rows,
        "seconds": sum(r["seconds"] for p in points for r in p.records.values()),
        "observations": written([{m: _observed(rows, m) for m in metrics}]),
    }


def _compared(reference: Point, point: Point, metric: str) -> dict[str, Any]:
    values = [record[metric] for record in point.records.values()]
    base = [reference.records[seed][metric] for seed in point.records]
    difference = None if point is reference else comparisons.difference(values, base)
    return spread_by("by_seed", values) | {"difference": difference}


def _observed(rows: list[dict[str, Any]], metric: str) -> Observation:
    """How many points differ from the first beyond their interval, and by how much at most."""
    differences = [row["metrics"][metric]["difference"] for row in rows[1:]]
    return Observation(
        f"{label(metric)}: points that differ from the first; the 95 % interval excludes 0 (one "
        "in twenty does by chance)",
        {
            "differ": sum(map(comparisons.is_clear, differences)),
            "of": len(differences),
            "largest_difference": max((d["mean"] for d in differences), key=abs, default=None),
        },
    )


def markdown(summary: dict[str, Any]) -> str:
    """The table of a summary: mean ± std, and the paired difference with its interval."""
    metrics = list(summary["points"][0]["metrics"])
    fields = list(summary["points"][0]["values"])
    header = [*fields, *(f"{m} | difference" for m in metrics)]
    lines = [f"| {' | '.join(header)} |", "|" + " --- |" * (len(fields) + 2 * len(metrics))]
    for row in summary["points"]:
        cells = [str(value) for value in row["values"].values()]
        for metric in metrics:
            cells += _cells(row["metrics"][metric])
        lines.append(f"| {' | '.join(cells)} |")
    count = len(summary["seeds"])
    note = f"{count} seeds: mean ± standard deviation; mean paired difference from the first row"
    return "\n".join(lines) + f"\n\n{note} [95 % interval].\n"


def _cells(found: dict[str, Any]) -> list[str]:
    deviation = "" if found["std"] is None else f" ± {found['std']:.4f}"
    difference = found["difference"]
    value = f"{found['mean']:.4f}{deviation}"
    return [value, "" if difference is None else comparisons.described(difference)]
