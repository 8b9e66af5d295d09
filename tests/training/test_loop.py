import functools
import json
import math
import os
import re
import signal
import time

import jax
import numpy as np
import optax
import pytest

from infojax import training
from tests import problems

LAST = 20
EVAL_STEPS = training.evaluation_steps(LAST, 3)
OPTIMIZER = optax.chain(optax.trace(0.9), optax.scale(-0.05))
UPDATE = training.Update(training.stateless(problems.cross_entropy), OPTIMIZER)
BATCH = training.shard_padded(problems.examples(7), 2)


@pytest.fixture(scope="module")
def advance():
    return training.make_train_step(UPDATE)


def _measure(state):
    size = sum(float(np.sum(np.square(x))) for x in jax.tree.leaves(state.params))
    return {"size": size, "spike": float(state.spike)}


def _fit(workdir, advance, evaluate=_measure, state=None, batch=BATCH, **settings):
    settings = {"eval_steps": EVAL_STEPS, "checkpoint_every": 4, "steps_per_call": 3} | settings
    if state is None:
        state = training.init_state(UPDATE, problems.init_params())
    plan = training.Plan(
        workdir,
        lambda replicated: evaluate(training.single(replicated)),
        shown=("train/loss", "size"),
        **settings,
    )
    return jax.device_get(
        training.fit(state, lambda state, count: advance(state, batch, count), plan)
    )


def _saved(workdir):
    return sorted(int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdigit())


def _timeless(workdir):
    return [{k: v for k, v in r.items() if k != "seconds"} for r in training.read_records(workdir)]


def test_evaluation_steps():
    assert training.evaluation_steps(25, 100) == [*range(21), 22, 24, 25]
    assert training.evaluation_steps(25, 1) == list(range(26))
    assert training.evaluation_steps(1, 100) == [0, 1]


def test_evaluation_steps_are_dense_early_and_a_few_hundred_in_all():
    steps = np.array(training.evaluation_steps(14_000, 100))
    gaps = np.diff(steps)
    assert steps[0] == 0
    assert steps[-1] == 14_000
    assert np.all(gaps >= 1)
    assert np.all(gaps <= np.maximum(1, steps[:-1] // 10))
    assert gaps.max() == 100
    assert 150 < len(steps) < 300


@pytest.fixture(scope="module")
def uninterrupted(advance, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    return _fit(workdir, advance), _timeless(workdir), workdir


def test_uninterrupted(uninterrupted):
    state, records, workdir = uninterrupted
    assert state.step == LAST
    assert [r["step"] for r in records] == EVAL_STEPS
    assert len({r["size"] for r in records}) == len(EVAL_STEPS)
    assert _saved(workdir) == [16, 20]


def test_fit_is_the_same_as_one_advance(uninterrupted, advance):
    state = training.init_state(UPDATE, problems.init_params())
    state = problems.single(advance(problems.replicate(state, 2), BATCH, LAST))
    for name in ("params", "opt_state", "loss", "lowest_loss"):
        jax.tree.map(
            np.testing.assert_array_equal, getattr(uninterrupted[0], name), getattr(state, name)
        )


@pytest.mark.parametrize("stop", [0, 2, 5, 9, 14, 20])
def test_resumed_after_a_crash_bit_for_bit(uninterrupted, advance, tmp_path, stop):
    def crash(state):
        if state.step >= stop:
            raise RuntimeError("pulled plug")
        return _measure(state)

    with pytest.raises(RuntimeError, match="pulled plug"):
        _fit(tmp_path, advance, crash)
    assert max([0, *_saved(tmp_path)]) == (min(stop, LAST - 1) // 4 * 4 if stop > 3 else 0)
    with pytest.raises(RuntimeError, match="pulled plug"):  # twice
        _fit(tmp_path, advance, crash)
    state = _fit(tmp_path, advance, steps_per_call=2)
    jax.tree.map(np.testing.assert_array_equal, state, uninterrupted[0])
    assert _timeless(tmp_path) == uninterrupted[1]


def test_run_again_when_done(uninterrupted, advance):
    state, records, workdir = uninterrupted
    lines = (workdir / "metrics.jsonl").read_text()

    def forbidden(*_):
        raise AssertionError("nothing is left to do")

    again = _fit(workdir, forbidden, evaluate=forbidden)
    jax.tree.map(np.testing.assert_array_equal, again, state)
    assert (workdir / "metrics.jsonl").read_text() == lines
    assert len(lines.splitlines()) == len(records)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_and_stop(uninterrupted, advance, tmp_path, signum):
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]

    def interrupt(state):
        if state.step == 5:
            os.kill(os.getpid(), signum)
        return _measure(state)

    with pytest.raises(training.Interrupted, match="step 5 by SIG") as caught:
        _fit(tmp_path, advance, interrupt)
    assert (caught.value.signum, caught.value.step) == (signum, 5)
    assert _saved(tmp_path)[-1] == 5
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before
    state = _fit(tmp_path, advance)
    jax.tree.map(np.testing.assert_array_equal, state, uninterrupted[0])
    assert _timeless(tmp_path) == uninterrupted[1]


def test_signal_at_the_last_step_stops_what_would_follow(uninterrupted, advance, tmp_path):
    """The run is complete, but a study would go on with its next network."""

    def interrupt(state):
        if state.step == LAST:
            os.kill(os.getpid(), signal.SIGTERM)
        return _measure(state)

    with pytest.raises(training.Interrupted, match=f"step {LAST}"):
        _fit(tmp_path, advance, interrupt)
    state = _fit(tmp_path, advance)
    jax.tree.map(np.testing.assert_array_equal, state, uninterrupted[0])


def test_second_ctrl_c_does_not_wait(advance, tmp_path):
    def interrupt(state):
        if state.step == 5:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)  # two simultaneous signals may merge
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
        return _measure(state)

    # In a background job of a shell, SIGINT is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            _fit(tmp_path, advance, interrupt)
    finally:
        signal.signal(signal.SIGINT, before)


def test_chunks_end_at_evaluations_and_checkpoints(advance, tmp_path):
    """No call is longer than steps_per_call or runs past a step at which something is due."""
    ends = []

    def counting(state, batch, count):
        assert 1 <= count <= 7
        ends.append(int(state.step[0]) + count)
        return advance(state, batch, count)

    steps = [0, 2, 30, 31]
    _fit(tmp_path, counting, eval_steps=steps, checkpoint_every=12, steps_per_call=7)
    assert ends == [2, 9, 12, 19, 24, 30, 31]
    assert [r["step"] for r in training.read_records(tmp_path)] == steps
    assert _saved(tmp_path) == [24, 31]


def _fit_script(workdir, table, slopes=None, evaluate=None, **settings):
    loss_fn, optimizer, params = problems.scripted(table, slopes)
    update = training.Update(training.stateless(loss_fn), optimizer)
    return _fit(
        workdir,
        training.make_train_step(update),
        evaluate or (lambda state: {"x": float(state.params["x"]), "spike": float(state.spike)}),
        state=training.init_state(update, params),
        batch=np.zeros((2, 1), np.float32),
        **{"eval_steps": [0, 3, 9], "steps_per_call": 10} | settings,
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_loss_not_finite(tmp_path, bad):
    """The loss of the 7th update is bad: training stops there and keeps earlier checkpoints."""
    table = [9, 8, 7, 6, 5, 4, bad, 2, 1]
    with pytest.raises(FloatingPointError) as caught:
        _fit_script(tmp_path, table)
    assert str(caught.value) == (
        f"not finite at step 7: train/loss = {bad}; the last good checkpoint is of step 4"
    )
    assert _saved(tmp_path) == [4]
    assert _timeless(tmp_path) == [
        {"step": 0, "x": 0, "spike": 0},
        {"step": 3, "x": 3, "spike": pytest.approx(8 / 9)},
    ]
    with pytest.raises(FloatingPointError, match="step 7"):  # again when run again
        _fit_script(tmp_path, table)


def test_loss_not_finite_before_any_checkpoint(tmp_path):
    with pytest.raises(FloatingPointError, match="step 2: train/loss = nan; no checkpoint was"):
        _fit_script(tmp_path, [1, np.nan, 1])
    assert _saved(tmp_path) == []


def test_metric_not_finite(tmp_path):
    def evaluate(state):
        return {"test/hdr": 0.5, "test/mir": float("inf") if state.step == 8 else 1.0}

    with pytest.raises(FloatingPointError) as caught:
        _fit_script(tmp_path, np.ones(9), evaluate=evaluate, eval_steps=[0, 8, 9])
    assert str(caught.value) == (
        "not finite at step 8: test/mir = inf; the last good checkpoint is of step 4"
    )
    assert _saved(tmp_path) == [4]  # not 8, though one was due
    assert [r["step"] for r in training.read_records(tmp_path)] == [0]


def test_parameters_that_are_not_finite_are_not_saved(tmp_path):
    """The loss before the 8th update is finite, its gradient is not, and a checkpoint is due."""
    slopes = np.where(np.arange(9) == 7, np.nan, 1)
    with pytest.raises(FloatingPointError) as caught:
        _fit_script(tmp_path, np.ones(9), slopes)
    assert str(caught.value) == (
        "not finite at step 8: params/x = nan; the last good checkpoint is of step 4"
    )
    assert _saved(tmp_path) == [4]


def test_many_bad_metrics_fit_one_line(tmp_path):
    def evaluate(state):
        return {f"metric_{i}": float("nan") for i in range(30)}

    with pytest.raises(FloatingPointError, match=re.escape("metric_0 = nan")) as caught:
        _fit_script(tmp_path, np.ones(9), evaluate=evaluate)
    assert "and 27 more" in str(caught.value)


def test_best_value_so_far_across_a_resumption(advance, tmp_path):
    """The best value before the crash, at step 8, precedes the checkpoint of step 12."""

    def evaluate(state, stop=LAST):
        if state.step > stop:
            raise RuntimeError("pulled plug")
        return {"accuracy": math.sin(state.step)}

    fit = functools.partial(_fit, tmp_path, advance, best={"best_accuracy": "accuracy"})
    with pytest.raises(RuntimeError, match="pulled plug"):
        fit(functools.partial(evaluate, stop=13))
    fit(evaluate)
    records = training.read_records(tmp_path)
    assert [r["step"] for r in records] == EVAL_STEPS
    expected = np.maximum.accumulate([r["accuracy"] for r in records]).tolist()
    assert [r["best_accuracy"] for r in records] == expected
    assert expected[-1] > expected[13] > expected[5]


def test_spike_is_reset_at_every_evaluation(tmp_path):
    _fit_script(tmp_path, [4, 2, 8, 2, 2, 1, 3, 1, 1])
    assert [r["spike"] for r in _timeless(tmp_path)] == [0, 4, 3]


def test_records_are_complete_lines(uninterrupted):
    lines = (uninterrupted[2] / "metrics.jsonl").read_text().splitlines()
    seconds = [json.loads(line)["seconds"] for line in lines]
    assert seconds == sorted(seconds)
    assert seconds[0] >= 0
