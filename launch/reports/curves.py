"""The curves of a report: one chart for each quantity, means over seeds with their range."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from launch.labels import label
from launch.plots.references import at_collapse, of_metric
from launch.reports.html import finite
from launch.runs import History, Run

Chart = dict[str, Any]
_NO_METRICS = ("step", "seconds")
_LONG = 500  # a first step this many times before the last calls for a logarithmic scale


def charts(runs: list[Run]) -> list[Chart]:
    """Returns the charts of the records of runs, in a reader's order.

    Each has a `title`, whether it `is_ratio`, the value at `collapse` (None if there is none), and
    `curves`, each with its `name`, `run` and `series` (which set colour and style), `x`, and the
    mean `y` over seeds; where there are several, also `low` and `high`.
    """
    collapsed, found = at_collapse(runs), []
    for quantity, metrics in _by_quantity(runs).items():
        curves = [
            {"run": i, "series": j, **curve}
            for j, metric in enumerate(metrics)
            for i, run in enumerate(runs)
            if (curve := _curve(run, metric, len(runs) > 1, quantity))
        ]
        about = label(metrics[0])
        found.append(
            {
                "title": about.axis,
                "is_ratio": about.is_ratio,
                "collapse": of_metric(metrics[0], collapsed),
                "curves": curves,
            }
        )
    return found


def calls_for_log(runs: list[Run]) -> bool:
    """Whether the first steps would be lost on a linear scale."""
    steps = sorted({record["step"] for run in runs for h in run.histories for record in h})
    later = [step for step in steps if step > 0]
    return bool(later) and later[0] * _LONG < later[-1]


def _by_quantity(runs: list[Run]) -> dict[str, list[str]]:
    """Metrics by what they measure."""
    names = {name for run in runs for h in run.histories for record in h for name in record}
    found: dict[str, list[str]] = {}
    for name in sorted(names - set(_NO_METRICS), key=lambda n: (label(n).rank, n)):
        found.setdefault(label(name).quantity, []).append(name)
    return found


def _curve(run: Run, metric: str, several: bool, quantity: str) -> Chart | None:
    """A metric's mean over the seeds of a run; None if the run has not recorded it."""
    steps, values = _table(run.histories, metric)
    if not steps:
        return None
    detail = label(metric).detail
    curve: Chart = {
        "name": ", ".join(filter(None, (run.name if several else "", detail))) or quantity,
        "x": steps,
        "y": _rounded(np.mean(values, 0)),
    }
    if len(values) > 1:
        curve |= {"low": _rounded(np.min(values, 0)), "high": _rounded(np.max(values, 0))}
    return curve


def _table(histories: Sequence[History], metric: str) -> tuple[list[int], np.ndarray]:
    """Steps [t] at which all seeds have recorded a metric, and its values [seeds, t]."""
    columns = [{int(r["step"]): r[metric] for r in h if metric in r} for h in histories]
    steps = sorted(set.intersection(*map(set, columns))) if columns else []
    return steps, np.array([[float(c[s]) for s in steps] for c in columns])


def _rounded(values: np.ndarray) -> list[float | None]:
    return [finite(value) for value in values.tolist()]
