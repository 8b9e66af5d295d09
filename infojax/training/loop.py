"""The loop around a train step: evaluation, checkpoints, signals, progress."""

import math
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from infojax.training import processes
from infojax.training.checkpoint import Checkpoints
from infojax.training.interrupts import Interrupted, Interrupts
from infojax.training.progress import Progress
from infojax.training.recorder import Recorder
from infojax.training.step import Metrics, TrainState, replicate, single


def evaluation_steps(num_steps: int, eval_every: int) -> list[int]:
    """Steps to evaluate at: every step, then every tenth part of the way, then every eval_every."""
    steps = [0]
    while steps[-1] < num_steps:
        steps.append(min(num_steps, steps[-1] + min(eval_every, max(1, steps[-1] // 10))))
    return steps


def fit(
    state: TrainState,
    advance: Callable[[TrainState, int], TrainState],
    evaluate: Callable[[TrainState], Metrics],
    eval_steps: Iterable[int],
    checkpoint_every: int,
    steps_per_call: int,
    checkpoints: Checkpoints,
    recorder: Recorder,
    shown: Sequence[str],
) -> TrainState:
    """Trains to the last of eval_steps, from the newest good checkpoint if there is one.

    Args:
      state: the initial state, not replicated.
      advance: makes a number of updates of a replicated state.
      evaluate: metrics of a replicated state; recorded at eval_steps.
      eval_steps: ascending steps.
      checkpoint_every: steps between checkpoints; one is also saved at the end and on SIGINT or
        SIGTERM.
      steps_per_call: largest number of updates in one dispatch, between which signals are seen.
      checkpoints: where states are saved.
      recorder: where metrics are recorded.
      shown: names of the metrics on the progress bar.

    Returns:
      The final state, not replicated.

    Raises:
      Interrupted: after SIGINT or SIGTERM, when the state is saved.
      UserError: records up to the checkpoint are damaged or missing.
      FloatingPointError: the loss, a metric, or a state to be saved is not finite; names the step
        and the last good checkpoint.
    """
    eval_steps = list(eval_steps)
    restored = checkpoints.restore(state)
    if restored is not None:
        state = restored
    step = int(state.step)
    if restored is None:
        recorder.resume(-1)
    else:
        recorder.resume(step, [s for s in eval_steps if s <= step])
    replicated = replicate(state)
    with Interrupts() as interrupts, Progress(eval_steps[-1], step, shown) as progress:
        if restored is None:
            replicated = _record(replicated, evaluate, checkpoints, recorder, progress)
        for target in [s for s in eval_steps if s > step]:
            while step < target:
                boundary = (step // checkpoint_every + 1) * checkpoint_every
                count = min(target, boundary, step + steps_per_call) - step
                replicated = advance(replicated, count)
                step += count
                loss = float(single(replicated.loss))
                _check_finite(int(single(replicated.step)), {"train/loss": loss}, checkpoints)
                progress.update(step, {"train/loss": loss})
                if step == target:
                    replicated = _record(replicated, evaluate, checkpoints, recorder, progress)
                # Once: a signal may come between the lines below.
                signum = processes.largest(interrupts.received or 0)
                if step % checkpoint_every == 0 or step == eval_steps[-1] or signum:
                    _save(step, single(replicated), checkpoints)
                if signum and step < eval_steps[-1]:
                    raise Interrupted(signum, step)
    return single(replicated)


def _record(replicated, evaluate, checkpoints, recorder, progress) -> TrainState:
    """Evaluates and records; returns the state with its spike monitor started anew."""
    metrics = evaluate(replicated)
    step = int(single(replicated.step))
    _check_finite(step, metrics, checkpoints)
    recorder.write(step, metrics)
    progress.update(step, metrics)
    return replicated.replace(spike=jnp.zeros_like(replicated.spike))


def _save(step: int, state: TrainState, checkpoints: Checkpoints) -> None:
    """Saves a state that its latest update has not spoilt (the loss would show that later)."""
    parts = jax.device_get(
        {"params": state.params, "model_state": state.model_state, "opt_state": state.opt_state}
    )
    largest = {
        jax.tree_util.keystr(path, simple=True, separator="/"): float(np.max(np.abs(leaf)))
        for path, leaf in jax.tree_util.tree_leaves_with_path(parts)
        if jnp.issubdtype(leaf.dtype, jnp.inexact)
    }
    _check_finite(step, largest, checkpoints)
    checkpoints.save(step, state)


def _check_finite(step: int, metrics: Metrics, checkpoints: Checkpoints) -> None:
    bad = [f"{name} = {value}" for name, value in metrics.items() if not math.isfinite(value)]
    if len(bad) > 4:
        bad[3:] = [f"and {len(bad) - 3} more"]
    if bad:
        saved = checkpoints.latest_step()
        where = f"the last good checkpoint is of step {saved}"
        if saved is None:
            where = "no checkpoint was saved yet"
        raise FloatingPointError(f"not finite at step {step}: {', '.join(bad)}; {where}")
