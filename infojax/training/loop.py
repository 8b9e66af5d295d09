"""The loop around a train step: evaluation, checkpoints, signals, progress."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from infojax import _trees
from infojax.errors import UserError
from infojax.training import processes
from infojax.training.checkpoint import Checkpoints
from infojax.training.interrupts import Interrupted, Interrupts
from infojax.training.progress import Progress
from infojax.training.recorder import FILE, Recorder
from infojax.training.step import Metrics, TrainState, replicate, single


class Plan(NamedTuple):
    """How a state is trained and what is kept of it.

    Attributes:
      directory: where checkpoints/ and metrics.jsonl are kept; created if missing.
      evaluate: metrics of a replicated state.
      eval_steps: ascending steps at which metrics are recorded; training ends at the last.
      checkpoint_every: steps between checkpoints; one is also saved at the end and on SIGINT or
        SIGTERM.
      steps_per_call: largest number of updates in one dispatch; signals are seen between
        dispatches.
      shown: names of the metrics on the progress bar.
      best: names of additional metrics, each with the metric whose largest value so far it records.
      after_evaluation: `(state, metrics) -> state`, elementwise, so that it also serves replicated
        states: changes a state according to its evaluation. A resumed run applies it to the
        recorded metrics.
      finished: whether training of a state, not replicated, ends after its evaluation; judged by
        its step and model_state.
    """

    directory: Path
    evaluate: Callable[[TrainState], Metrics]
    eval_steps: Sequence[int]
    checkpoint_every: int
    steps_per_call: int
    shown: tuple[str, ...] = ()
    best: Mapping[str, str] = MappingProxyType({})
    after_evaluation: Callable[[TrainState, Mapping[str, Any]], TrainState] = lambda state, _: state
    finished: Callable[[TrainState], bool] = lambda _: False


def evaluation_steps(num_steps: int, eval_every: int) -> list[int]:
    """Returns steps whose distance grows from 1 by a tenth of the step, up to eval_every."""
    steps = [0]
    while steps[-1] < num_steps:
        steps.append(min(num_steps, steps[-1] + min(eval_every, max(1, steps[-1] // 10))))
    return steps


def fit(
    state: TrainState, advance: Callable[[TrainState, int], TrainState], plan: Plan
) -> TrainState:
    """Trains to the last evaluation, from the newest intact checkpoint if one exists.

    Args:
      state: the initial state, not replicated.
      advance: makes a number of updates of a replicated state.
      plan: when to evaluate and save, and where.

    Returns:
      The final state, not replicated.

    Raises:
      Interrupted: after SIGINT or SIGTERM, once the state is saved.
      UserError: records up to the checkpoint are damaged or missing.
      StorageError: a checkpoint or record cannot be written.
      FloatingPointError: the loss, a metric, or a state to be saved is not finite; names the step
        and the last good checkpoint.
    """
    with opened(plan) as log:
        return _fit(state, advance, plan, log)


@contextmanager
def opened(plan: Plan) -> "Iterator[Log]":
    """Context with the checkpoints and records of a plan."""
    with closing(Recorder(plan.directory)) as recorder:
        directory = plan.directory / "checkpoints"
        if processes.from_first(lambda: not directory.exists() and bool(recorder.steps())):
            raise _lost(directory)
        with closing(Checkpoints(directory)) as checkpoints:
            yield Log(plan, checkpoints, recorder)


def _lost(directory: Path) -> UserError:
    return UserError(
        f"{directory} holds no checkpoint, but {directory.parent / FILE} holds records: put the "
        f"checkpoints back, or move {FILE} away to start over"
    )


def _fit(
    state: TrainState,
    advance: Callable[[TrainState, int], TrainState],
    plan: Plan,
    log: "Log",
) -> TrainState:
    restored = log.resume(state)
    replicated = replicate(state if restored is None else restored)
    step, last = int(single(replicated.step)), plan.eval_steps[-1]
    with Interrupts() as interrupts, Progress(last, step, plan.shown) as progress:
        if restored is None:
            replicated = _evaluate(replicated, plan, log, progress)
        finished = plan.finished(single(replicated))
        processes.largest(0)  # wait for those that still compile: Gloo gave up after 30 s
        for stop in () if finished else stops(step, plan):
            replicated = advance(replicated, stop - step)
            step = stop
            loss = {"train/loss": float(single(replicated.loss))}
            log.check_finite(int(single(replicated.step)), loss)
            progress.update(step, loss)
            trained = replicated
            if step in plan.eval_steps:
                replicated = _evaluate(trained, plan, log, progress)
                finished = step == last or plan.finished(single(replicated))
            # Read once: a signal may arrive between the lines below.
            signum = processes.largest(interrupts.received or 0)
            if step % plan.checkpoint_every == 0 or finished or signum:
                log.save(step, single(trained))
            if signum:  # also at the last step: more may follow in this process
                raise Interrupted(signum, step)
            if finished:
                break
    return single(replicated)


def _evaluate(replicated: TrainState, plan: Plan, log: "Log", progress: Progress) -> TrainState:
    """Evaluates and records; returns the state after that."""
    step = int(single(replicated.step))
    metrics = log.record(step, plan.evaluate(replicated))
    progress.update(step, metrics)
    return evaluated(replicated, metrics, plan.after_evaluation)


def stops(step: int, plan: Plan) -> Iterator[int]:
    """The steps after a given one at which a dispatch ends."""
    for target in plan.eval_steps:
        while step < target:
            boundary = (step // plan.checkpoint_every + 1) * plan.checkpoint_every
            step = min(target, boundary, step + plan.steps_per_call)
            yield step


def _unfit(needed: Sequence[int], recorded: set[int], step: int) -> str:
    """Why a run cannot resume from a checkpoint; "" if it can."""
    missing = [s for s in needed if s <= step and s not in recorded]
    return f"{FILE} lacks the record of step {missing[0]}" if missing else ""


class Log:
    """Checkpoints and records of a run; neither ever holds a number that is not finite."""

    def __init__(self, plan: Plan, checkpoints: Checkpoints, recorder: Recorder) -> None:
        self._plan = plan
        self._checkpoints = checkpoints
        self._recorder = recorder
        self._previous: Metrics = {}

    def resume(self, template: TrainState) -> TrainState | None:
        """Returns the newest checkpoint that can be used, or None; drops records it does not need.

        The checkpoint is intact, and the plan's records up to it exist. Other records are later, or
        the last of a plan with fewer steps. A checkpoint precedes the evaluation at its step, if
        the plan has one there.

        Raises:
          UserError: the records imply that checkpoints were saved, but none exist.
        """
        steps = processes.from_first(self._recorder.steps)
        start = min([int(template.step), *steps[:1]])  # of a fork, not 0
        needed = sorted({s for s in self._plan.eval_steps if s >= start} | ({start} & set(steps)))
        unfit = functools.partial(_unfit, needed, set(steps))
        restored = self._checkpoints.restore(template, unfit)
        every = self._plan.checkpoint_every
        if restored is None and steps and steps[-1] > (steps[0] // every + 1) * every:
            raise _lost(self._plan.directory / "checkpoints")
        step = -1 if restored is None else int(restored.step)
        recorded = [s for s in needed if s <= step]
        self._previous = self._recorder.resume(step, recorded)
        if restored is None or step not in recorded:
            return restored
        return evaluated(restored, self._previous, self._plan.after_evaluation)

    def record(self, step: int, metrics: Metrics) -> Metrics:
        """Records the metrics of a step; returns them with the best so far."""
        self.check_finite(step, metrics)
        best = {
            name: max(self._previous.get(name, -math.inf), metrics[of])
            for name, of in self._plan.best.items()
        }
        self._previous = metrics | best
        self._recorder.write(step, self._previous)
        return self._previous

    def save(self, step: int, state: TrainState) -> None:
        """Saves a state, unless its latest update spoilt it (the loss would show that later)."""
        parts = jax.device_get(
            {"params": state.params, "model_state": state.model_state, "opt_state": state.opt_state}
        )
        largest = {
            name: float(np.max(np.abs(leaf)))
            for name, leaf in _trees.named_leaves(parts)
            if jnp.issubdtype(leaf.dtype, jnp.inexact)
        }
        self.check_finite(step, largest)
        self._checkpoints.save(step, state)

    def check_finite(self, step: int, metrics: Metrics) -> None:
        """Raises FloatingPointError if a metric at a step is not finite."""
        bad = [f"{name} = {value}" for name, value in metrics.items() if not math.isfinite(value)]
        if len(bad) > 4:
            bad[3:] = [f"and {len(bad) - 3} more"]
        if bad:
            saved = self._checkpoints.latest_step()
            where = f"the last good checkpoint is of step {saved}"
            if saved is None:
                where = "no checkpoint was saved yet"
            raise FloatingPointError(f"not finite at step {step}: {', '.join(bad)}; {where}")


def evaluated(
    state: TrainState,
    metrics: Mapping[str, Any],
    after: Callable[[TrainState, Mapping[str, Any]], TrainState],
) -> TrainState:
    """Returns a state after its evaluation: with its spike monitor reset and `after` applied."""
    reset: TrainState = state.replace(spike=jnp.zeros_like(state.spike))
    return after(reset, metrics)
