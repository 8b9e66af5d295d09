"""Seconds of asynchronous work on a device."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax

_ROUND = 0.05  # seconds that a round should last
_SLOW = 1.0  # seconds of a call from which on one round of one call is enough
_ROUNDS = 5


def median_seconds(run: Callable[[], Any], wait: Callable[[Any], Any], warm_up: int = 1) -> float:
    """Returns the seconds of a call: the median over rounds of many calls.

    Args:
      run: dispatches the work.
      wait: waits for a result of run.
      warm_up: calls before, which compile.
    """
    for _ in range(warm_up):
        wait(run())
    repeats = 1
    while (seconds := _round(run, wait, repeats)) * repeats < _ROUND:
        repeats *= 2  # not from the time of one call, which may be far from that of many
    if seconds >= _SLOW:
        return seconds
    return statistics.median(_round(run, wait, repeats) for _ in range(_ROUNDS))


def _round(run: Callable[[], Any], wait: Callable[[Any], Any], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        result = run()
        if jax.default_backend() == "cpu":  # collectives of calls in flight may block each other
            wait(result)
    wait(result)
    return (time.perf_counter() - start) / repeats


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Returns the seconds of one call, and its result."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result
