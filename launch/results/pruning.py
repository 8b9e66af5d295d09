"""What pruning does to accuracy, MIR and HDR, with spreads over seeds and paired differences."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from launch.ledger import Point
from launch.results import comparisons
from launch.results.observations import Observation, Observations, spread_by, written
from launch.runs import evaluated_split

WORDS = {
    "one_shot": "by magnitude",
    "gradual": "by magnitude, gradually",
    "random": "at random",
}
PAPER_SPARSITY = 0.9  # the largest of Figure 6
DEPARTURE = 0.1  # largest range of a MIR that counts as constant
LOSS = 0.01  # largest drop of an accuracy that counts as kept

_CORRECTED = {
    "corrected_mir": "features and head",
    "between_corrected_mir": "features before and after",
}
_STAGES = ("before", "after")


def summarize(points: list[Point], config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the content of summary.json.

    Args:
      points: finished points.
      config: of the study.

    Returns:
      `seconds` of fine-tuning and measuring; `results`, for each method and sparsity the spread of
      metrics over seeds, before and after fine-tuning; `differences` of the other methods from
      the first; `observations`.
    """
    split, sizes = evaluated_split(config), config["metric_batch_sizes"]
    metrics = [*_metrics(sizes, split), *_chance_levels(points)]
    methods = list(dict.fromkeys(p["method"] for p in points))
    series = {method: of_method(points, method) for method in methods}
    return {
        "seconds": sum(p["after"]["seconds"] for p in points),
        "weights": points[0]["weights"],
        "results": {
            method: {
                str(sparsity): {
                    stage: {
                        m: spread_by("by_seed", (p[stage][m] for p in of_seeds)) for m in metrics
                    }
                    for stage in _STAGES
                }
                for sparsity, of_seeds in own.items()
            }
            for method, own in series.items()
        },
        "differences": {
            f"{method} - {methods[0]}": _differences(own, series[methods[0]], metrics)
            for method, own in series.items()
            if method != methods[0]
        },
        "observations": written([_observe(series, split, sizes[0])]),
    }


def of_method(points: list[Point], method: str) -> dict[float, list[Point]]:
    """Points of a method by sparsity, in order of seeds; sparsity 0 may be another method's."""
    own = [p for p in points if p["method"] == method or p["sparsity"] == 0]
    sparsities = sorted({p["sparsity"] for p in own})
    by_seed = sorted(own, key=lambda p: p["seed"])
    return {s: [p for p in by_seed if p["sparsity"] == s] for s in sparsities}


def _metrics(sizes: list[int], split: str) -> list[str]:
    names = ["accuracy", "loss", "between_population_hdr", "population_mir", "population_hdr"]
    for n in sizes:
        names += [f"between_mir_{n}", f"between_hdr_{n}", f"mir_{n}", f"hdr_{n}"]
    return [f"{split}/{name}" for name in names]


def _chance_levels(points: list[Point]) -> list[str]:
    """Names of chance levels and of corrected MIR, where all points have them."""
    names = [name for name in points[0]["after"] if "chance_mir" in name or "corrected_mir" in name]
    return [name for name in names if all(name in p["after"] for p in points)]


def _differences(
    own: dict[float, list[Point]], reference: dict[float, list[Point]], metrics: list[str]
) -> dict[str, Any]:
    """Paired differences after fine-tuning, at the sparsities above 0 that both have."""
    found: dict[str, Any] = {}
    for sparsity in sorted((own.keys() & reference.keys()) - {0.0}):
        pairs = _paired(own[sparsity], reference[sparsity])
        found[str(sparsity)] = {
            m: comparisons.difference(
                [p["after"][m] for p, _ in pairs], [q["after"][m] for _, q in pairs]
            )
            for m in metrics
        }
    return found


def _paired(points: list[Point], others: list[Point]) -> list[tuple[Point, Point]]:
    by_seed = {p["seed"]: p for p in others}
    return [(p, by_seed[p["seed"]]) for p in points if p["seed"] in by_seed]


def _observe(series: dict[str, dict[float, list[Point]]], split: str, n: int) -> Observations:
    """What Figure 6 shows, for each method, after fine-tuning, from means over seeds."""
    mir, accuracy = f"{split}/between_mir_{n}", f"{split}/accuracy"
    observed: Observations = {}
    for method, own in series.items():
        values = [_mean(own[s], "after", mir) for s in own if s <= PAPER_SPARSITY]
        observed[f"mir_{method}"] = Observation(
            f"pruned {WORDS[method]}: MIR of features before and after (n = {n}, fine-tuned), "
            f"lowest and highest for sparsities up to {PAPER_SPARSITY} (they differ by {DEPARTURE} "
            "at most)",
            [min(values), max(values)] if values else None,
            max(values) - min(values) <= DEPARTURE if len(values) > 1 else None,
        )
        if 0.0 not in own:
            continue
        dense = _mean(own[0.0], "before", accuracy)
        kept = [s for s in own if _mean(own[s], "after", accuracy) >= dense - LOSS]
        observed[f"accuracy_{method}"] = Observation(
            f"pruned {WORDS[method]}: highest sparsity at which the fine-tuned accuracy is at "
            f"most {LOSS} below the trained network's ({dense:.4f})",
            max(kept, default=None),
        )
        observed |= _above_chance(method, own, split, n)
    if 0.0 in own:
        names = {"MIR": mir, "HDR": f"{split}/between_hdr_{n}"}
        observed["self_information"] = Observation(
            f"MIR and HDR of the features with themselves (n = {n})",
            {name: _mean(own[0.0], "before", metric) for name, metric in names.items()},
        )
    return observed


def _above_chance(method: str, own: dict[float, list[Point]], split: str, n: int) -> Observations:
    """Whether corrected MIR tells the trained network from the worst, where it is recorded."""
    sparsities = [s for s in own if s <= PAPER_SPARSITY]  # 0 is one of them
    worst = min(sparsities, key=lambda s: _mean(own[s], "after", f"{split}/accuracy"))
    return {
        f"{name}_{method}": Observation(
            f"pruned {WORDS[method]}: MIR of {what}, corrected for chance (n = {n}), of the "
            "trained network and of the least accurate one for sparsities up to "
            f"{PAPER_SPARSITY} (fine-tuned)",
            {
                "trained": _mean(own[0.0], "before", metric),
                "least accurate": _mean(own[worst], "after", metric),
            },
        )
        for name, what in _CORRECTED.items()
        if (metric := f"{split}/{name}_{n}") in own[0.0][0]["before"]
    }


def _mean(points: list[Point], stage: str, metric: str) -> float:
    return float(np.mean([p[stage][metric] for p in points]))
