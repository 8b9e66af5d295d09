"""What an evaluation changes in a state, and runs that it ends, across interruptions."""

import functools

import jax
import numpy as np
import pytest

from infojax import training
from tests import problems
from tests.training import ensemble_problem as problem


@functools.cache
def _advance():
    return training.make_train_step(problem.UPDATE)


def _fit(root, stop_after=0, crash_at=None):
    state, _, size = problem.start(0)
    inputs, labels = problems.examples(7)
    shards = training.shard_padded((inputs * np.float32(0.4), labels), 2)
    batch = (*shards, np.full(2, 0.1, np.float32))

    def evaluate(replicated):
        found = training.single(replicated)
        if crash_at is not None and found.step >= crash_at:
            raise RuntimeError("pulled plug")
        return {name: float(x) for name, x in problem.measure(found, size).items()}

    plan = problem.plan(root, stop_after)._replace(evaluate=evaluate)
    return jax.device_get(
        training.fit(state, lambda state, count: _advance()(state, batch, count), plan)
    )


def _records(root):
    return [{k: v for k, v in r.items() if k != "seconds"} for r in training.read_records(root)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    return _fit(root), _records(root)


def test_an_evaluation_changes_the_state(whole):
    state, records = whole
    small = [r["step"] for r in records if r["size"] < problem.LARGE]
    assert 0 < small[0] < problem.LAST
    assert float(state.model_state["small"]) == small[0]


@pytest.mark.parametrize("crash_at", [9, 13, 20])
def test_resumed_from_the_recorded_metrics(whole, tmp_path, crash_at):
    """Also from a checkpoint at the step of the evaluation that made the change."""
    with pytest.raises(RuntimeError, match="pulled plug"):
        _fit(tmp_path, crash_at=crash_at)
    state = _fit(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, state, whole[0])
    assert _records(tmp_path) == whole[1]


def test_a_run_that_finishes_early(whole, tmp_path):
    """At the first evaluation three steps or more after the change; then nothing is left to do."""
    since = float(whole[0].model_state["small"])
    end = next(step for step in problem.EVAL_STEPS if step >= since + 3)
    assert end < problem.LAST
    state = _fit(tmp_path, stop_after=3)
    assert state.step == end
    assert _records(tmp_path) == [r for r in whole[1] if r["step"] <= end]
    again = _fit(tmp_path, stop_after=3, crash_at=0)
    jax.tree.map(np.testing.assert_array_equal, again, state)
