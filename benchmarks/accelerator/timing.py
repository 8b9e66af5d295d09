"""Seconds of asynchronous work on a device."""

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

_ROUND = 0.05  # seconds that a round should last
_SLOW = 1.0  # seconds of a call from which on one round of one call is enough
_ROUNDS = 5


def median_seconds(run: Callable[[], Any], wait: Callable[[Any], Any]) -> float:
    """Returns the seconds of a call: the median over rounds of many calls.

    Args:
      run: dispatches the work. It is called once before, to compile and to warm up.
      wait: waits for a result of run.
    """
    wait(run())
    once = _round(run, wait, 1)
    if once >= _SLOW:
        return once
    repeats = math.ceil(_ROUND / max(once, 1e-6))
    return statistics.median(_round(run, wait, repeats) for _ in range(_ROUNDS))


def _round(run: Callable[[], Any], wait: Callable[[Any], Any], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        result = run()
    wait(result)
    return (time.perf_counter() - start) / repeats


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Returns the seconds of one call, and its result."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result
