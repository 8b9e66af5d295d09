"""What pruning does to accuracy, MIR and HDR, with spreads over seeds and paired differences."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from launch.comparison import interval
from launch.observations import spread

PAPER_SPARSITY = 0.9  # up to which figure 6 goes
DEPARTURE = 0.1  # of MIR, up to which it counts as staying where it is
LOSS = 0.01  # of accuracy, up to which it counts as kept

Point = dict[str, Any]
_STAGES = ("before", "after")


def summarize(points: list[Point], config: ConfigDict) -> dict[str, Any]:
    """Returns what summary.json holds.

    Args:
      points: lines of points.jsonl.
      config: of the study.

    Returns:
      `seconds` of fine-tuning and measuring; `results`, for each method and sparsity the spread of
      metrics over seeds, before and after fine-tuning; `differences` of the other methods from
      the first; `observations`.
    """
    split = "validation" if config.validation_fraction else "test"
    metrics = _metrics(config, split)
    methods = list(dict.fromkeys(p["method"] for p in points))
    series = {method: of_method(points, method) for method in methods}
    return {
        "seconds": sum(p["after"]["seconds"] for p in points),
        "weights": points[0]["weights"],
        "results": {
            method: {
                str(sparsity): {
                    stage: {m: _spread(p[stage][m] for p in of_seeds) for m in metrics}
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
        "observations": _observe(series, split, config.metric_batch_sizes[0]),
    }


def of_method(points: list[Point], method: str) -> dict[float, list[Point]]:
    """Points of a method by sparsity, in order of seeds; at 0 those of whatever method has them."""
    own = [p for p in points if p["method"] == method or p["sparsity"] == 0]
    sparsities = sorted({p["sparsity"] for p in own})
    by_seed = sorted(own, key=lambda p: p["seed"])
    return {s: [p for p in by_seed if p["sparsity"] == s] for s in sparsities}


def _metrics(config: ConfigDict, split: str) -> list[str]:
    names = ["accuracy", "loss", "between_population_hdr", "population_mir", "population_hdr"]
    for n in config.metric_batch_sizes:
        names += [f"between_mir_{n}", f"between_hdr_{n}", f"mir_{n}", f"hdr_{n}"]
    return [f"{split}/{name}" for name in names]


def _spread(values: Iterable[float]) -> dict[str, Any]:
    by_seed = list(values)
    return spread(by_seed) | {"by_seed": by_seed}


def _differences(own, reference, metrics: list[str]) -> dict[str, Any]:
    """Paired differences after fine-tuning, at the sparsities above 0 that both have."""
    found: dict[str, Any] = {}
    for sparsity in sorted((own.keys() & reference.keys()) - {0.0}):
        pairs = _paired(own[sparsity], reference[sparsity])
        found[str(sparsity)] = {
            m: interval(np.array([p["after"][m] - q["after"][m] for p, q in pairs]))
            for m in metrics
        }
    return found


def _paired(points: list[Point], others: list[Point]) -> list[tuple[Point, Point]]:
    by_seed = {p["seed"]: p for p in others}
    return [(p, by_seed[p["seed"]]) for p in points if p["seed"] in by_seed]


def _observe(series: dict[str, dict[float, list[Point]]], split: str, n: int) -> dict[str, Any]:
    """What figure 6 shows, for each method, after fine-tuning, from means over seeds."""
    mir, accuracy = f"{split}/between_mir_{n}", f"{split}/accuracy"
    mean = lambda points, stage, m: float(np.mean([p[stage][m] for p in points]))  # noqa: E731
    observed: dict[str, Any] = {}
    for method, own in series.items():
        below = [s for s in own if s <= PAPER_SPARSITY]
        values = [mean(own[s], "after", mir) for s in below]
        observed[f"mir_{method}"] = {
            "text": f"MIR of features before and after pruning (n = {n}, fine-tuned), lowest and "
            f"highest for sparsities up to {PAPER_SPARSITY} (they differ by {DEPARTURE} at most)",
            "measured": [min(values), max(values)],
            "holds": max(values) - min(values) <= DEPARTURE,
        }
        if 0.0 not in own:
            continue
        dense = mean(own[0.0], "before", accuracy)
        kept = [s for s in own if mean(own[s], "after", accuracy) >= dense - LOSS]
        observed[f"accuracy_{method}"] = {
            "text": f"highest sparsity with an accuracy, fine-tuned, at most {LOSS} below that of "
            f"the trained network ({dense:.4f})",
            "measured": max(kept, default=None),
        }
    if 0.0 in own:
        observed["self_information"] = {
            "text": f"MIR of the features with themselves (n = {n}), and their HDR",
            "measured": [
                mean(own[0.0], "before", name) for name in (mir, f"{split}/between_hdr_{n}")
            ],
        }
    return observed
