"""The tables of a report: runs, observations, numbers, settings, environments."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from launch.labels import label
from launch.reports.html import Cell, Html, cell, shown, table, tag
from launch.reports.reading import Content
from launch.results.comparisons import described

_VERDICTS = {True: "holds", False: "does not hold", None: "no bound"}
_MISSING = Cell("—")
_ELSEWHERE = ("observations", "final", "points", "seeds", "steps", "seconds", "model")


def of_runs(contents: Sequence[Content]) -> Html:
    """Which runs there are: experiment, seeds, steps and time."""
    rows = []
    for content in contents:
        run = content.run
        last = [history[-1] for history in run.histories]
        done = "finished" if content.summary else "not finished"
        seconds = sum(record["seconds"] for record in last)
        steps = sorted({int(record["step"]) for record in last})
        rows.append(
            [
                *map(cell, (run.name, run.config["experiment"], done)),
                cell(len(last) or None),
                cell(steps),
                Cell(_duration(seconds) if last else "", seconds, "number"),
                cell(len(content.points) or None),
            ]
        )
    columns = ["run", "experiment", "state", "seeds", "steps", "time", "points"]
    filled = [i for i in range(len(columns)) if any(row[i].text for row in rows)]
    kept = [[row[i] for i in filled] for row in rows]
    return table([columns[i] for i in filled], kept, "Runs", titled=False)


def _duration(seconds: float) -> str:
    """A time as "1 h 05 min", "3 min 20 s" or "8 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def of_observations(content: Content, titled: bool) -> Html | None:
    """A paper's observations checked on a run: measured values, and whether they hold."""
    found = content.summary.get("observations")
    if not isinstance(found, dict) or not found:
        return None
    rows = [_observed(each) for each in found.values() if isinstance(each, dict)]
    columns = ["verdict", "observation", "measured"]
    return table(columns, rows, f"Observations of {content.run.name}", titled)


def _observed(found: Mapping[str, Any]) -> list[Cell]:
    measured, holds = (_listed(found.get(name)) for name in ("measured", "holds"))
    if all(value is None for value in measured):
        verdict, kind = "not measured", "unknown"
    elif len(set(holds)) == 1 and holds[0] in _VERDICTS:
        verdict = _VERDICTS[holds[0]]
        kind = {True: "good", False: "bad", None: "unknown"}[holds[0]]
    else:
        known = len(holds) - holds.count(None)  # as docs/claims.py counts
        verdict, kind = f"holds in {holds.count(True)} of {known} seeds", "mixed"
    badge = tag("span", verdict, class_=f"badge {kind}")
    values = "; ".join("—" if value is None else shown(value) for value in measured)
    return [Cell(badge), Cell(shown(found.get("text"))), Cell(values, kind="number")]


def _listed(value: Any) -> list[Any]:
    found = value if isinstance(value, list) else [value]
    return [json.dumps(x) if isinstance(x, dict | list) and not x else x for x in found]


def of_numbers(contents: Sequence[Content]) -> Html | None:
    """The last value of every metric, mean and standard deviation over seeds."""
    found = [_finals(content) for content in contents]
    names = sorted({n for each in found for n in each}, key=lambda n: (label(n).rank, n))
    if not names:
        return None
    rows = []
    for name in names:
        about = label(name)
        numbers = [_spread(each[name]) if name in each else _MISSING for each in found]
        rows.append([*map(cell, (about.quantity, about.detail, about.unit)), *numbers])
    titles = ["quantity", "of", "unit", *(content.run.name for content in contents)]
    return table(titles, rows, "Last values; mean ± standard deviation over seeds")


def _finals(content: Content) -> Mapping[str, Any]:
    found = content.summary.get("final")
    if not isinstance(found, dict):
        return {}
    return {name: spread for name, spread in found.items() if isinstance(spread, dict)}


def _spread(found: Mapping[str, Any]) -> Cell:
    mean, deviation = found.get("mean"), found.get("std")
    text = shown(mean) if deviation is None else f"{shown(mean)} ± {shown(deviation)}"
    return Cell(text, mean, "number")


def of_grid(content: Content) -> Html | None:
    """The points of a grid: mean over seeds, and the paired difference from the first point."""
    points = content.summary.get("points")
    if not isinstance(points, list) or not points or not all(map(_is_compared, points)):
        return None
    fields, metrics = points[0]["values"], points[0]["metrics"]
    rows = [
        [*map(cell, p["values"].values()), *(c for m in metrics for c in _compared_cells(p, m))]
        for p in points
    ]
    titles = [title for m in metrics for title in (str(label(m)), "difference")]
    caption = (
        f"Grid of {content.run.name}: mean ± standard deviation over seeds; paired difference "
        "from the first point with its 95 % interval"
    )
    return table([*fields, *titles], rows, caption)


def _is_compared(point: Any) -> bool:
    return isinstance(point, dict) and {"values", "metrics"} <= point.keys()


def _compared_cells(point: Mapping[str, Any], metric: str) -> tuple[Cell, Cell]:
    found = point["metrics"][metric]
    difference = found["difference"]
    if difference is None:
        return _spread(found), Cell("")
    return _spread(found), Cell(described(difference), difference["mean"], "number")


def of_results(content: Content) -> Html | None:
    """Whatever else summary.json holds, a row for each number or spread; folded."""
    rest = {k: v for k, v in content.summary.items() if k not in _ELSEWHERE}
    rows = [[Cell(" / ".join(path)), _found(value)] for path, value in _branches(rest)]
    if not rows:
        return None
    title = f"All results of {content.run.name} ({len(rows)} rows)"
    found = table(["result", "value"], rows, title, titled=False)
    return tag("details", tag("summary", title), found)


def _branches(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if not isinstance(value, dict) or "mean" in value:
        return [(path, value)]
    return [branch for key, each in value.items() for branch in _branches(each, (*path, str(key)))]


def _found(value: Any) -> Cell:
    if not isinstance(value, dict):
        return cell(value)
    return _spread(value) if "std" in value else Cell(shown(value), value["mean"], "number")


def of_evaluation(content: Content) -> Html | None:
    """What `launch.evaluate` measured, one column per data set, split and order."""
    found = {k: e for k, e in content.evaluation.items() if isinstance(e, dict)}
    metrics = {k: e["metrics"] for k, e in found.items() if isinstance(e.get("metrics"), dict)}
    names = sorted({n for each in metrics.values() for n in each}, key=lambda n: (label(n).rank, n))
    if not names:
        return None
    rows = [
        [cell(str(label(n))), *(_spread(m[n]) if n in m else _MISSING for m in metrics.values())]
        for n in names
    ]
    return table(["metric", *metrics], rows, f"Evaluations of {content.run.name}")


def of_settings(contents: Sequence[Content]) -> Html:
    """The config of every run; settings that differ come first and are marked."""
    return _compared([c.run.config for c in contents], contents, "Settings")


def of_environments(contents: Sequence[Content]) -> Html:
    """The environment in which each run was last started."""
    found = [_flat(c.starts[-1]) | {"starts": len(c.starts)} if c.starts else {} for c in contents]
    return _compared(found, contents, "Environment of the last start")


def _flat(found: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in found.items():
        flat |= {k: v for k, v in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _compared(
    found: Sequence[Mapping[str, Any]], contents: Sequence[Content], caption: str
) -> Html:
    names = sorted({name for each in found for name in each})
    differs: Callable[[str], bool] = lambda n: (  # noqa: E731
        len({json.dumps(each[n]) if n in each else None for each in found}) > 1
    )
    rows = []
    for name in sorted(names, key=lambda n: not differs(n)):
        kind = "differs" if differs(name) else None
        values = [cell(each[name]) if name in each else _MISSING for each in found]
        rows.append([Cell(name, kind=kind), *(Cell(v.text, v.value, kind) for v in values)])
    return table(["name", *(c.run.name for c in contents)], rows, caption, titled=False)
