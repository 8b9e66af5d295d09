"""Fewer records for figures: out of a million, those that a curve's outline needs."""

import itertools
import operator

import numpy as np

from launch.runs import History, Run

_MOST = 20_000  # records up to which all are drawn
_EXTREMES = 10_000  # records to keep if there are more


def thinned(run: Run) -> Run:
    """Returns a run with fewer records, if it has very many; extremes of every metric are kept.

    Steps are divided into stretches, both of equal numbers of records and of numbers that grow
    from the start, for logarithmic axes. Of each stretch, the records with the smallest and the
    largest value of any metric are kept, for all seeds.
    """
    if max(map(len, run.histories), default=0) <= _MOST:
        return run
    kept = set[float]().union(*map(_extremes, run.histories))
    return run._replace(histories=[[r for r in h if r["step"] in kept] for h in run.histories])


def _extremes(history: History) -> set[float]:
    """The steps of the records to keep, including the first and the last."""
    if not history:
        return set()
    n, names = len(history), history[0].keys() | history[-1].keys()
    names -= {"step", "seconds"}
    count = max(10, _EXTREMES // (4 * max(len(names), 1)))
    edges = np.unique([*np.linspace(0, n, count + 1), *np.geomspace(1, n, count)]).astype(int)
    found = {0, n - 1}
    for values in _columns(history, sorted(names)) if names else ():
        missing = np.isnan(values)
        low, high = np.where(missing, np.inf, values), np.where(missing, -np.inf, values)
        for start, end in itertools.pairwise(edges):
            if start < end:
                found.add(start + int(np.argmin(low[start:end])))
                found.add(start + int(np.argmax(high[start:end])))
    return {history[k]["step"] for k in found}


def _columns(history: History, names: list[str]) -> np.ndarray:
    """The values of metrics, float64 [metrics, records]; NaN where one is missing."""
    n = len(history)
    try:  # of records that hold all of them, twice as fast
        found = itertools.chain.from_iterable(map(operator.itemgetter(*names, "step"), history))
        return np.fromiter(found, float, n * (len(names) + 1)).reshape(n, -1)[:, :-1].T
    except KeyError:
        values = (record.get(name, np.nan) for record in history for name in names)
        return np.fromiter(values, float, n * len(names)).reshape(n, -1).T
