"""Points of a grid compared with the first of them: spreads, paired differences, intervals."""

from typing import Any, NamedTuple

import numpy as np
from scipy import stats

_LEVEL = 0.95


class Point(NamedTuple):
    """A point of a grid: its values, and the last record of each seed."""

    values: dict[str, Any]
    records: dict[int, dict[str, float]]


def summarize(points: list[Point], metrics: list[str]) -> dict[str, Any]:
    """Means, spreads and paired differences from the first point, as summary.json holds them.

    A difference is the mean over seeds of the point's value minus the first point's of the same
    seed; its interval is Student's, at 95 %.

    Args:
      points: the grid, the reference first, all with the same seeds.
      metrics: names of what is compared.

    Returns:
      Fields `seeds`, `points` (for each its values and, by metric, mean, std, by_seed,
      difference), `seconds` (sum over all runs) and `observations`.
    """
    rows = [
        {"values": p.values, "metrics": {m: _compared(points[0], p, m) for m in metrics}}
        for p in points
    ]
    return {
        "seeds": list(points[0].records),
        "points": rows,
        "seconds": sum(r["seconds"] for p in points for r in p.records.values()),
        "observations": {m: _observed(rows, m) for m in metrics},
    }


def _compared(reference: Point, point: Point, metric: str) -> dict[str, Any]:
    values = np.array([record[metric] for record in point.records.values()])
    found = {
        "mean": float(np.mean(values)),
        "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "by_seed": values.tolist(),
        "difference": None,
    }
    if point is not reference:
        base = np.array([reference.records[seed][metric] for seed in point.records])
        found["difference"] = interval(values - base)
    return found


def interval(differences: np.ndarray) -> dict[str, float | None]:
    """Mean of paired differences with its 95 % interval (None for one pair)."""
    n, mean = len(differences), float(np.mean(differences))
    if n < 2:
        return {"mean": mean, "low": None, "high": None}
    half = stats.t.ppf((1 + _LEVEL) / 2, n - 1) * np.std(differences, ddof=1) / np.sqrt(n)
    return {"mean": mean, "low": float(mean - half), "high": float(mean + half)}


def _observed(rows: list[dict], metric: str) -> dict[str, Any]:
    """How many points differ from the first beyond their interval, and by how much at most."""
    differences = [row["metrics"][metric]["difference"] for row in rows[1:]]
    known = [d for d in differences if d["low"] is not None]
    clear = [d for d in known if d["low"] > 0 or d["high"] < 0]
    return {
        "text": f"points whose {metric} differs from the first one's, 95 % interval without 0 "
        f"(one in twenty does by chance)",
        "measured": f"{len(clear)} of {len(differences)}",
        "largest_difference": max((d["mean"] for d in differences), key=abs, default=None),
    }


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
    spread = "" if found["std"] is None else f" ± {found['std']:.4f}"
    value = f"{found['mean']:.4f}{spread}"
    difference = found["difference"]
    if difference is None:
        return [value, ""]
    text = f"{difference['mean']:+.4f}"
    if difference["low"] is not None:
        text += f" [{difference['low']:+.4f}, {difference['high']:+.4f}]"
    return [value, text]
