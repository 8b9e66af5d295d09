"""Paired differences over seeds, with the confidence interval of Student's t."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

LEVEL = 0.95


def difference(values: ArrayLike, baseline: ArrayLike) -> dict[str, Any]:
    """Compares two methods on the same seeds.

    Args:
      values: one number per seed.
      baseline: the other method's, on the same seeds in the same order.

    Returns:
      `mean` of `values - baseline`, its 95 % confidence interval `low` to `high` (None for a
      single seed), and a `verdict`: `higher` or `lower` where the interval excludes zero, else
      `no difference`.

    >>> difference([3.0, 4.0, 5.0], [1.0, 1.0, 1.0])["verdict"]
    'higher'
    """
    x = np.subtract(values, baseline)
    mean = float(np.mean(x))
    if len(x) < 2:
        return {"mean": mean, "low": None, "high": None, "verdict": "no difference"}
    error = float(np.std(x, ddof=1)) / math.sqrt(len(x))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(x) - 1)) * error
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
