"""What Figure 7 of Song et al. 2024 shows, measured on the records of a run."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from launch.results import conditions, early, ensembles, transitions
from launch.results.observations import (
    Observation,
    Observations,
    bounded,
    summarize as observed,
    written,
)
from launch.runs import History

_GROKKED_BY = 12_000  # epochs
_EARLY = 1_000  # epochs after which loss spikes count


class _Curves(NamedTuple):
    """Columns of the records, float [t]."""

    step: np.ndarray
    mir: np.ndarray
    hdr: np.ndarray
    train: np.ndarray
    test: np.ndarray
    spike: np.ndarray


def summarize(histories: list[History], config: ConfigDict) -> dict[str, Any]:
    """Returns the content of summary.json.

    Args:
      histories: the records of each seed.
      config: of the run.

    Returns:
      What `observations.summarize` returns; which seeds `generalised`; the `transitions` of each;
      the `leads` of each measure over test accuracy, over the seeds that generalise; what values
      at `early_epoch` tell of the onset (`early`); and observations `over_seeds`.
    """
    n = max(config.metric_batch_sizes)
    found = ensembles.condition("", config.seed, histories, n)
    leads = ensembles.leads_of(found)
    wanted = transitions.measures(n)
    return observed(histories, functools.partial(observe, n=n)) | {
        "generalised": found.generalised,
        "transitions": transitions.written(found.found, wanted),
        "leads": leads,
        "early": early.tells(found, n, config.early_epoch),
        "over_seeds": written([conditions.answers([found], leads, n)]),
    }


def observe(history: History, n: int) -> Observations:
    """Measures what Figure 7 shows on the records of one seed.

    Args:
      history: records in order of steps.
      n: size of the test batch of MIR and HDR.
    """
    names = "step", f"test/mir_{n}", f"test/hdr_{n}", "train/accuracy", "test/accuracy"
    columns = (np.array([r[name] for r in history]) for name in (*names, "train/loss_spike"))
    curves = _Curves(*columns)
    return _accuracies(curves) | _of_mir(curves, n) | _of_hdr(curves, n) | _spikes(curves)


def _accuracies(curves: _Curves) -> Observations:
    fitted, grokked = (_first(curves.step, x > 0.99) for x in (curves.train, curves.test))
    return {
        "train_accuracy": Observation(
            "epoch at which training accuracy exceeds 0.99 (by 300)",
            fitted,
            fitted is not None and fitted <= 300,
        ),
        "test_accuracy": Observation(
            f"epoch at which test accuracy exceeds 0.99 (before {_GROKKED_BY:,})",
            grokked,
            grokked is not None and grokked < _GROKKED_BY,
        ),
    }


def _of_mir(curves: _Curves, n: int) -> Observations:
    start, top = float(curves.mir[0]), int(np.argmax(curves.mir))
    shelf, lowest = float(curves.mir[top]), float(np.min(curves.mir[top:]))
    lowest_at = int(curves.step[np.argmin(curves.mir)])
    return {
        "mir_shelf": bounded(
            f"MIR (n = {n}) rises after initialisation to a shelf (0.60 or more)",
            shelf,
            lambda x: x >= 0.6 and x > start,
        ),
        "mir_then": Observation(
            f"MIR (n = {n}) when test accuracy first exceeds 0.99",
            _first(curves.mir, curves.test > 0.99),
        ),
        "mir_lowest": Observation(f"epoch at which MIR (n = {n}) is lowest", lowest_at),
        "mir_fall": bounded(
            f"fall of MIR (n = {n}) from the shelf to its lowest value (0.2 or more)",
            shelf - lowest,
            lambda x: x >= 0.2,
        ),
    }


def _of_hdr(curves: _Curves, n: int) -> Observations:
    step, hdr, test = curves.step, curves.hdr, curves.test
    before = np.cumsum(test >= 0.5) == 0  # the long plateau, and the start of the climb
    climbing = (np.cumsum(test > 0.99) == 0) & (not before.all())  # and not beyond
    if before.any():
        climbing &= step > step[before][np.argmin(hdr[before])]
    peak = _extreme(np.max, hdr[climbing])
    return {
        "hdr_floor": bounded(
            f"HDR (n = {n}) at its lowest before test accuracy reaches 0.5 (below 0.1)",
            _extreme(np.min, hdr[before]),
            lambda x: x < 0.1,
        ),
        "hdr_peak": bounded(
            f"HDR (n = {n}) at its highest after that, up to an accuracy of 0.99 (0.3 or more)",
            peak,
            lambda x: x >= 0.3,
        ),
        "hdr_end": Observation(
            f"HDR (n = {n}) at the end (below 0.15, after its rise)",
            float(hdr[-1]),
            None if peak is None else peak >= 0.3 and float(hdr[-1]) < 0.15,
        ),
    }


def _spikes(curves: _Curves) -> Observations:
    return {
        "loss_spike": bounded(
            "largest training loss after epoch 1,000, over the smallest before it (at most 10)",
            _extreme(np.max, curves.spike[curves.step > _EARLY]),
            lambda x: x <= 10,
        )
    }


def _extreme(of: Callable[[np.ndarray], float], values: np.ndarray) -> float | None:
    return float(of(values)) if len(values) else None


def _first(values: np.ndarray, condition: np.ndarray) -> Any:
    """The value where a condition first holds; None if it never does."""
    return values[np.argmax(condition)].item() if condition.any() else None
