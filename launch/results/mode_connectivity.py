"""Barriers between networks, the hump of MIR and the dips of HDR, and what causes them."""

import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from infojax.methods.interpolation import barrier
from launch.ledger import Point
from launch.results import comparisons
from launch.results.observations import Observation, Observations, spread_by, written
from launch.runs import evaluated_split

MIDDLE = (0.3, 0.7)  # where the hump of MIR is sought; the dips of HDR are sought outside
FLOOR = 0.01  # lower humps and dips do not count
CONNECTED = 0.02  # error barrier below which two networks count as connected (Frankle et al.)
_SHAPES = ("mir_hump", "hdr_dip_first", "hdr_dip_second")

Results = dict[str, dict[str, Any]]


def summarize(points: list[Point], config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the results of a study for summary.json.

    Args:
      points: finished points; pairs that lack points are left out.
      config: of the study.

    Returns:
      `results`, for each learning rate and treatment the spread of barriers, humps and dips over
      pairs, None for treatments that were not measured; `artefacts`, humps and dips with
      interpolated against recomputed statistics; `observations`.
    """
    split = evaluated_split(config)
    suffixes = {f"n = {n}": f"_{n}" for n in config["metric_batch_sizes"]} | {"population": ""}
    by_rate: dict[str, Results] = {}
    for rate in config["learning_rates"]:
        pairs = finished_pairs(points, rate, config["num_omegas"])
        if pairs:
            by_rate[str(rate)] = {
                treatment: _of_pairs(pairs, treatment, split, suffixes)
                for treatment in config["treatments"]
                if pairs[0][0][treatment] is not None  # None: the model has no BatchNorm
            }
    first = {rate: next(iter(results.values())) for rate, results in by_rate.items()}
    compared = {
        rate: {shape: _compare(results, shape) for shape in _labelled(_SHAPES, suffixes)}
        for rate, results in by_rate.items()
        if {"interpolated", "recomputed"} <= set(results)
    }
    return {
        "pairs": {rate: len(found["error_barrier"]["by_pair"]) for rate, found in first.items()},
        "results": {
            rate: dict.fromkeys(config["treatments"]) | found for rate, found in by_rate.items()
        },
        "artefacts": compared,
        "observations": written([_observe(by_rate, list(suffixes)) | _artefacts(compared)]),
    }


def finished_pairs(points: list[Point], rate: float, num_omegas: int) -> list[list[Point]]:
    """Points by pair, in order of ω, of the pairs that have all of them."""
    own = [p for p in points if p["learning_rate"] == rate]
    pairs = [
        sorted((p for p in own if p["seed"] == seed), key=lambda p: p["omega"])
        for seed in sorted({p["seed"] for p in own})
    ]
    return [pair for pair in pairs if len(pair) == num_omegas]


def _of_pairs(
    pairs: list[list[Point]], treatment: str, split: str, suffixes: dict[str, str]
) -> dict[str, Any]:
    """Every number of one learning rate and treatment, with its spread over pairs."""
    omega = np.array([p["omega"] for p in pairs[0]])
    column = lambda name: np.array(  # noqa: E731
        [[p[treatment][f"{split}/{name}"] for p in pair] for pair in pairs]
    )
    accuracy = column("accuracy")
    found = {
        "error_barrier": np.asarray(barrier(1 - accuracy)),
        "loss_barrier": np.asarray(barrier(column("loss"))),
        "accuracy_first": accuracy[:, 0],
        "accuracy_second": accuracy[:, -1],
        "accuracy_lowest": np.min(accuracy, 1),
    }
    crossed: dict[str, Any] = {}
    for label, suffix in suffixes.items():
        mir, hdr = (f"{x}{suffix}" if suffix else f"population_{x}" for x in ("mir", "hdr"))
        found |= {f"{key}, {label}": x for key, x in hump(omega, column(mir)).items()}
        found |= {f"{key}, {label}": x for key, x in dips(omega, column(hdr)).items()}
        difference = column(f"entropy_features{suffix}") - column(f"entropy_head{suffix}")
        crossed[f"crossings, {label}"] = [crossings(omega, x) for x in difference]
    spreads = {name: spread_by("by_pair", x) for name, x in found.items()}
    return {"step": omega[1] - omega[0]} | spreads | crossed


def _parts(omega: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which points are before, in and after the middle, whatever the rounding of ω."""
    before, after = omega < MIDDLE[0] - 1e-9, omega > MIDDLE[1] + 1e-9
    return before, ~before & ~after, after


def hump(omega: np.ndarray, mir: np.ndarray) -> dict[str, np.ndarray]:
    """Largest height of MIR in the middle above the line between its ends, and its ω.

    Args:
      omega: [k].
      mir: [pairs, k].
    """
    _, middle, _ = _parts(omega)
    height = (mir - mir[:, :1] - omega * (mir[:, -1:] - mir[:, :1]))[:, middle]
    return {
        "mir_hump": np.max(height, 1),
        "mir_hump_omega": omega[middle][np.argmax(height, 1)],
    }


def dips(omega: np.ndarray, hdr: np.ndarray) -> dict[str, np.ndarray]:
    """Depth of HDR's lowest point near each end, at least 0, and its ω.

    The depth is measured from the end or the highest point of the middle, whichever is lower, so
    that a curve that falls all the way has no dip.

    Args:
      omega: [k].
      hdr: [pairs, k].
    """
    found = {}
    before, middle, after = _parts(omega)
    inside = np.max(hdr[:, middle], 1)
    for name, near, end in (("first", before, 0), ("second", after, -1)):
        depth = np.minimum(hdr[:, end], inside) - np.min(hdr[:, near], 1)
        found[f"hdr_dip_{name}"] = np.maximum(depth, 0)
        found[f"hdr_dip_{name}_omega"] = omega[near][np.argmin(hdr[:, near], 1)]
    return found


def crossings(omega: np.ndarray, difference: np.ndarray) -> list[float]:
    """Where H(features) - H(head) [k] changes sign, and HDR touches 0."""
    before, after = difference[:-1], difference[1:]
    at = np.flatnonzero(before * after < 0)
    share = before[at] / (before[at] - after[at])
    return (omega[at] + share * (omega[at + 1] - omega[at])).tolist()


def _labelled(shapes: tuple[str, ...], labels: Mapping[str, str]) -> list[str]:
    return [f"{shape}, {label}" for label in labels for shape in shapes]


def _observe(by_rate: dict[str, Results], labels: list[str]) -> Observations:
    return {
        "connected": Observation(
            f"error barrier of each treatment (below {CONNECTED}: connected)",
            {
                rate: {t: found["error_barrier"]["mean"] for t, found in results.items()}
                for rate, results in by_rate.items()
            },
        ),
        "crossings": Observation(
            f"dips of HDR deeper than {FLOOR}, and how many of them lie within one point of where "
            "H(features) and H(head) cross",
            _dips_at_crossings(by_rate, labels),
        ),
    }


def _dips_at_crossings(by_rate: dict[str, Results], labels: list[str]) -> dict[str, Any]:
    """By treatment, how many dips there are and how many lie at crossings."""
    counts: dict[str, Counter[str]] = {}
    for results in by_rate.values():
        for (treatment, found), label, end in itertools.product(
            results.items(), labels, ("first", "second")
        ):
            dip = f"hdr_dip_{end}"
            rows = zip(
                found[f"{dip}, {label}"]["by_pair"],
                found[f"{dip}_omega, {label}"]["by_pair"],
                found[f"crossings, {label}"],
                strict=True,
            )
            count = counts.setdefault(treatment, Counter(at_crossings=0, dips=0))
            for depth, omega, crossed in rows:
                near = any(abs(omega - x) <= found["step"] for x in crossed)
                count.update(dips=depth > FLOOR, at_crossings=depth > FLOOR and near)
    return {treatment: dict(count) for treatment, count in counts.items()}


def _compare(results: Results, shape: str) -> dict[str, Any]:
    """One hump or dip, with interpolated and with recomputed statistics."""
    before, after = (np.array(results[t][shape]["by_pair"]) for t in ("interpolated", "recomputed"))
    there, remains = (bool(np.mean(x) > FLOOR) for x in (before, after))
    verdict = {
        (True, True): "remains",
        (True, False): "gone",
        (False, True): "only with recomputed statistics",
        (False, False): "absent",
    }[there, remains]
    return {
        "interpolated": float(np.mean(before)),
        "recomputed": float(np.mean(after)),
        "recomputed - interpolated": comparisons.difference(after, before),
        "verdict": verdict,
    }


def _artefacts(compared: dict[str, dict[str, Any]]) -> Observations:
    """Whether BatchNorm statistics explain what the curves show; open where they show nothing."""
    verdicts = Counter(c["verdict"] for shapes in compared.values() for c in shapes.values())
    gone, remains = verdicts["gone"], verdicts["remains"]
    return {
        "artefact": Observation(
            f"humps of MIR and dips of HDR above {FLOOR} with interpolated BatchNorm statistics "
            "(gone with recomputed statistics: artefacts of the statistics)",
            dict(verdicts),
            remains == 0 if gone + remains else None,
        )
    }
