"""What MIR and HDR depend on: every point over seeds, how well batches estimate the whole."""

from collections.abc import Iterator
from typing import Any

from launch.ledger import Point
from launch.results.observations import Observation, Observations, spread_by, written

_SIZES = ("batch", "all")
_COLUMNS = ("mir", "chance_mir", "corrected_mir", "hdr")
_COVERED = 0.95


def summarize(points: list[Point], n: int) -> dict[str, Any]:
    """Returns the content of summary.json.

    Args:
      points: finished points.
      n: size of the batches while something else is varied.

    Returns:
      `results`, by step, factor and value the spread of metrics over seeds, of batches and of all
      images; `extrapolations`, by step and batch size the estimate of each seed, its interval and
      the MIR of all images; `observations`.
    """
    return {
        "batch_size": n,
        "seeds": sorted({p["seed"] for p in points}),
        "steps": sorted({p["step"] for p in points}),
        "results": _results(points),
        "extrapolations": _extrapolations(points),
        "observations": written([_observe(points, n)]),
    }


def _results(points: list[Point]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for (step, factor, value), own in groups(points):
        sizes = {size: [p[size] for p in own] for size in _SIZES if size in own[0]}
        spreads = {
            size: {m: spread_by("by_seed", [x[m] for x in of_seeds]) for m in of_seeds[0]}
            for size, of_seeds in sizes.items()
        }
        found.setdefault(str(step), {}).setdefault(factor, {})[value] = spreads
    return found


def groups(points: list[Point]) -> list[tuple[tuple[int, str, str], list[Point]]]:
    """Points of the same step, factor and value, of all seeds, in the order of the steps."""
    found: dict[tuple[int, str, str], list[Point]] = {}
    for p in sorted(points, key=lambda p: p["step"]):
        found.setdefault((p["step"], p["factor"], p["value"]), []).append(p)
    return list(found.items())


def extrapolated(points: list[Point]) -> Iterator[tuple[Point, float]]:
    """Points with an extrapolation, and the MIR of all images that it estimates."""
    whole = {(p["seed"], p["step"]): p["all"]["mir"] for p in points if p["factor"] == "base"}
    for p in points:
        if p.get("extrapolated") and (p["seed"], p["step"]) in whole:
            yield p, whole[p["seed"], p["step"]]


def _extrapolations(points: list[Point]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for p, whole in extrapolated(points):
        own = found.setdefault(str(p["step"]), {}).setdefault(p["value"], {})
        own[str(p["seed"])] = p["extrapolated"] | {"all": whole}
    return found


def _observe(points: list[Point], n: int) -> Observations:
    pairs = [(p["extrapolated"], whole) for p, whole in extrapolated(points)]
    given = [(e, whole) for e, whole in pairs if e["half_width"] is not None]
    covered = [abs(e["value"] - whole) <= e["half_width"] for e, whole in given]
    share = sum(covered) / len(covered) if covered else None
    observed = {
        "extrapolation": Observation(
            f"share of the {len(covered)} extrapolations with an interval whose interval holds MIR "
            f"of all images (at least {_COVERED})",
            share,
            None if share is None else share >= _COVERED,
        ),
        "too_small": Observation(
            "share of the extrapolations without an interval: of too small or too few batches",
            1 - len(given) / len(pairs) if pairs else None,
        ),
    }
    for (step, factor, _), own in groups(points):
        if factor == "base":
            means = {m: sum(p["batch"][m] for p in own) / len(own) for m in _COLUMNS}
            observed[f"step_{step}"] = Observation(
                f"MIR, its chance level, corrected MIR and HDR of batches of {n} at step {step:,}",
                [means[m] for m in _COLUMNS],
            )
    return observed


def markdown(summary: dict[str, Any], n: int) -> str:
    """Returns the tables of all steps, means over seeds, as table.md holds them."""
    return "\n".join(
        f"## Step {int(step):,}\n\n{_table(found, n)}" for step, found in summary["results"].items()
    )


def _table(found: dict[str, Any], n: int) -> str:
    titles = ["MIR", "chance level", "corrected", "HDR"]
    head = ["varied", "value", *(f"{t} (n = {n})" for t in titles), *(f"{t} (all)" for t in titles)]
    lines = [_line(head), _line(["---"] * len(head))]
    for factor, by_value in found.items():
        for value, sizes in by_value.items():
            means = [
                f"{sizes[size][m]['mean']:.3f}" if size in sizes else ""
                for size in _SIZES
                for m in _COLUMNS
            ]
            lines.append(_line([factor, value, *means]))
    return "".join(lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
