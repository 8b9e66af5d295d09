"""Paired differences over seeds, with the confidence interval of Student's t.

scipy.stats takes half a second to import, so it is imported where it is needed.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

LEVEL = 0.95


def difference(values: ArrayLike, baseline: ArrayLike) -> dict[str, Any]:
    """Compares two methods on the same seeds.

    Args:
      values: one number per seed.
      baseline: the other method's, on the same seeds in the same order.

    Returns:
      `mean` of `values - baseline`, its 95 % confidence interval `low` to `high` (None for a
      single seed), and a `verdict`: `higher` or `lower` where the interval excludes zero, else
      `no difference`. Where all differences are equal, the interval has no width.

    >>> difference([3.0, 4.0, 5.0], [1.0, 1.0, 1.0])["verdict"]
    'higher'
    """
    x = np.subtract(values, baseline)
    mean = float(np.mean(x))
    if len(x) < 2:
        return {"mean": mean, "low": None, "high": None, "verdict": "no difference"}
    error = float(np.std(x, ddof=1)) / math.sqrt(len(x))
    half = float(special.stdtrit(len(x) - 1, (1 + LEVEL) / 2)) * error
    low, high = mean - half, mean + half
    verdict = "higher" if low > 0 else "lower" if high < 0 else "no difference"
    return {"mean": mean, "low": low, "high": high, "verdict": verdict}


def is_clear(found: dict[str, Any]) -> bool:
    """Whether the interval of a difference excludes zero."""
    return found["verdict"] != "no difference"


def described(found: dict[str, Any], digits: int = 4) -> str:
    """A difference as text: `+0.013 [+0.002, +0.025]`."""
    text = f"{found['mean']:+.{digits}f}"
    if found["low"] is None:
        return text
    return f"{text} [{found['low']:+.{digits}f}, {found['high']:+.{digits}f}]"


def ratio(values: ArrayLike, baseline: ArrayLike) -> dict[str, Any]:
    """Compares two methods on the same seeds by the quotient of positive numbers.

    Returns:
      As `difference`, of `values / baseline`: the geometric mean and its interval, from the
      differences of the logarithms; the verdict says where the interval excludes one.

    >>> round(ratio([2.0, 8.0], [1.0, 4.0])["mean"], 3)
    2.0
    """
    found = difference(np.log(values), np.log(baseline))
    exact = {k: None if found[k] is None else math.exp(found[k]) for k in ("mean", "low", "high")}
    return exact | {"verdict": found["verdict"]}


def rank_correlation(x: ArrayLike, y: ArrayLike) -> dict[str, Any]:
    """Spearman's rank correlation over seeds, with a 95 % confidence interval.

    The interval is Fisher's, with the standard error of Bonett & Wright (2000) for ranks.

    Returns:
      `correlation`; its interval `low` to `high`, and `seeds`. The interval is None below five
      seeds and at ±1, where Fisher's has no width, and so are all three where one side is constant.
    """
    a, b = np.asarray(x, float), np.asarray(y, float)
    nothing = {"correlation": None, "low": None, "high": None, "seeds": len(a)}
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return nothing
    from scipy import stats

    found = float(stats.spearmanr(a, b).statistic)
    if len(a) < 5 or abs(found) > 1 - 1e-9:
        return nothing | {"correlation": found}
    error = math.sqrt((1 + found**2 / 2) / (len(a) - 3))
    half = float(special.ndtri((1 + LEVEL) / 2)) * error
    centre = math.atanh(found)
    low, high = math.tanh(centre - half), math.tanh(centre + half)
    return {"correlation": found, "low": low, "high": high, "seeds": len(a)}


def share(hits: int, total: int) -> dict[str, Any]:
    """A share, with its 95 % interval of Clopper and Pearson (None if the total is 0).

    >>> share(8, 8)["low"] > 0.6
    True
    """
    if total == 0:
        return {"hits": 0, "of": 0, "low": None, "high": None}
    from scipy import stats

    interval = stats.binomtest(hits, total).proportion_ci(LEVEL)
    return {"hits": hits, "of": total, "low": float(interval.low), "high": float(interval.high)}
