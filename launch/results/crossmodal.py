"""Few-shot fine-tuning: accuracies, and every comparison of methods with its interval."""

from collections import Counter
from typing import Any

import numpy as np

from launch.ledger import Point
from launch.results import comparisons
from launch.results.observations import Observation, Observations, spread, written

METHODS = ("ce", "ce_texts", "ce_cma")
COMPARISONS = (("ce_cma", "ce"), ("ce_texts", "ce"), ("ce_cma", "ce_texts"))


def summarize(points: list[Point]) -> dict[str, Any]:
    """Returns the content of summary.json from the finished points of a study."""
    trained = [p for p in points if p.get("head")]
    results = [_result(point) for point in trained]
    return {
        "seconds": sum(point["seconds"] for point in trained),
        "zero_shot": {p["model"]: p["zero_shot"] for p in points if "zero_shot" in p},
        "results": results,
        "verdicts": {
            name: Counter(r["differences"][name]["verdict"] for r in results)
            for name in (f"{a} - {b}" for a, b in COMPARISONS)
        },
        "over_models_and_heads": _pooled(trained),
        "observations": written([observe(trained)]),
    }


def _result(point: Point) -> dict[str, Any]:
    accuracy = point["test_accuracy"]
    return {
        **{name: point[name] for name in ("model", "head", "shots")},
        "test_accuracy": {m: spread(accuracy[m]) for m in METHODS},
        "alignment_weight": point["alignment_weight"],
        "differences": _differences(accuracy),
    }


def _differences(accuracy: dict[str, list[float]]) -> dict[str, Any]:
    return {f"{a} - {b}": comparisons.difference(accuracy[a], accuracy[b]) for a, b in COMPARISONS}


def _pooled(points: list[Point]) -> dict[str, Any]:
    """Compares methods at each number of shots, by each seed's mean over models and heads."""
    pooled: dict[str, Any] = {}
    for shots in sorted({point["shots"] for point in points}):
        own = [point["test_accuracy"] for point in points if point["shots"] == shots]
        means = {m: np.mean([accuracy[m] for accuracy in own], 0).tolist() for m in METHODS}
        pooled[str(shots)] = _differences(means)
    return pooled


def observe(points: list[Point]) -> Observations:
    """Counts over models, heads and shots where CMA serves its purpose; holds if in most."""
    differences = [_differences(p["test_accuracy"])["ce_cma - ce"] for p in points]
    gaps = [{m: np.mean(v) for m, v in p["measures"]["modality_gap"].items()} for p in points]
    counts = {
        "more_accurate": (
            "CE + CMA is more accurate than CE alone, 95 % confidence interval above 0",
            sum(d["verdict"] == "higher" for d in differences),
        ),
        "smaller_gap": (
            "the modality gap of test images is smaller with CE + CMA than with CE alone",
            sum(bool(gap["ce_cma"] < gap["ce"]) for gap in gaps),
        ),
    }
    return {
        name: Observation(f"{text} (settings, of {len(points)})", count, 2 * count > len(points))
        for name, (text, count) in counts.items()
    }
