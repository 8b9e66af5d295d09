"""Interleaved timing: each contender runs once per round, so that ratios are fair."""

import math
import statistics
import time
from typing import Any, NamedTuple

from benchmarks.worker import Worker, WorkerError

_SETUP_SECONDS = 300.0
_KILL_FACTOR = 2.0  # a run is killed after this multiple of its limit
_PAUSE = 0.2  # until the previous contender's threads sleep: OpenBLAS's spin for 0.1 s
_ENOUGH = 0.1  # minimum seconds per timing, by repetition


class Outcome(NamedTuple):
    """Measurements of one contender.

    Attributes:
      status: "ok", or why there is no time.
      rounds: seconds per run, one entry per round.
      report: the task's own report and `memory_mib`.
    """

    status: str
    rounds: tuple[float, ...] = ()
    report: dict[str, Any] = {}  # noqa: RUF012 (never written to)

    @property
    def seconds(self) -> float:
        """Median over the rounds; NaN without any."""
        return statistics.median(self.rounds) if self.rounds else math.nan

    def record(self) -> dict[str, Any]:
        """The outcome as one flat JSON object."""
        seconds = self.seconds if self.rounds else None
        rounds = list(self.rounds)
        return {"status": self.status, "seconds": seconds, "rounds": rounds, **self.report}


class _Runner:
    """One contender in a race: its process and results so far."""

    def __init__(self, target: str, arguments: dict[str, Any], limit: float):
        self.limit = limit
        self.times: list[float] = []
        self.repeats, self.rounds = 1, 1
        self.failure: str | None = None
        self.worker: Worker | None = None
        self._guard(lambda: setattr(self, "worker", Worker(target, arguments, _SETUP_SECONDS)))

    def warm_up(self) -> None:
        """Runs once to plan repetitions and rounds; a run over 5 s is not repeated."""
        seconds = self._run()
        if seconds is None:
            return
        self.repeats = max(1, math.ceil(_ENOUGH / seconds))
        self.rounds = 7 if seconds < 1 else 3
        if seconds > 5:
            self.rounds = 1
            self.times.append(seconds)
        if seconds > self.limit:
            self.failure = f"too slow: {seconds:.0f} s"

    def take_turn(self) -> None:
        """Runs one round unless done."""
        if self.failure is None and len(self.times) < self.rounds:
            seconds = self._run()
            if seconds is not None:
                self.times.append(seconds)

    def finish(self) -> Outcome:
        """Ends the process and returns the outcome."""
        report: dict[str, Any] = {}
        worker = self.worker
        if self.failure is None and worker is not None:
            self._guard(lambda: report.update(worker.report(_SETUP_SECONDS)))
        if worker is not None:
            worker.close()
        return Outcome(self.failure or "ok", tuple(self.times), report)

    def _run(self) -> float | None:
        worker = self.worker
        if self.failure is not None or worker is None:
            return None
        time.sleep(_PAUSE)
        measured: list[float] = []
        timeout = _KILL_FACTOR * self.limit + self.repeats * 10 * _ENOUGH
        self._guard(lambda: measured.append(worker.time(self.repeats, timeout)))
        return measured[0] if measured else None

    def _guard(self, action) -> None:
        try:
            action()
        except WorkerError as failure:
            self.failure, self.worker = str(failure), None


def race(target: str, entrants: dict[str, dict[str, Any]], limit: float) -> dict[str, Outcome]:
    """Measures contenders round-robin, each in its own process.

    Args:
      target: `module:function` that returns a contender's `Task`.
      entrants: the function's keyword arguments, by contender.
      limit: seconds per run beyond which a contender drops out.

    Returns:
      One outcome per contender.
    """
    runners = {name: _Runner(target, arguments, limit) for name, arguments in entrants.items()}
    for runner in runners.values():
        runner.warm_up()
    for _ in range(max((runner.rounds for runner in runners.values()), default=0)):
        for runner in runners.values():
            runner.take_turn()
    return {name: runner.finish() for name, runner in runners.items()}
