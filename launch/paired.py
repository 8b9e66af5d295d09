"""Paired differences over seeds, with the confidence interval of Student's t."""

import math
from typing import Any

import numpy as np
from scipy import stats


def difference(values: list[float], baseline: list[float]) -> dict[str, Any]:
    """Compares two methods on the same seeds.

    Args:
      values: one number a seed.
      baseline: those of the other method, on the same seeds in the same order.

    Returns:
      Mean of `values - baseline`, its 95 % confidence interval `low` to `high` (None for a single
      seed), and a verdict: `higher` or `lower` where the interval leaves out zero, else
      `no difference`.

    >>> difference([3.0, 4.0, 5.0], [1.0, 1.0, 1.0])["verdict"]
    'higher'
    """
    differences = np.subtract(values, baseline)
    mean = float(np.mean(differences))
    if len(differences) < 2:
        return {"mean": mean, "low": None, "high": None, "verdict": "no difference"}
    error = float(np.std(differences, ddof=1)) / math.sqrt(len(differences))
    half = float(stats.t.ppf(0.975, len(differences) - 1)) * error
    verdict = "higher" if mean - half > 0 else "lower" if mean + half < 0 else "no difference"
    return {"mean": mean, "low": mean - half, "high": mean + half, "verdict": verdict}
