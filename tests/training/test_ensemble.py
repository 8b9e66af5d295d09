import functools
import os
import signal

import jax
import numpy as np
import pytest

from infojax import training
from infojax.training import lanes, loop, recorder
from tests.training import ensemble_problem as problem

COUNT = 3


@functools.cache
def ensemble(batched):
    return training.make_ensemble(problem.UPDATE, problem.measure, problem.after, batched)


@functools.cache
def expected(stop_after=0):
    return [problem.alone(k, stop_after) for k in range(COUNT)]


@pytest.fixture(params=[False, True], ids=["one by one", "batched"])
def batched(request):
    return request.param


def _fit(root, batched, stop_after=0, **settings):
    plan = problem.plan(root, stop_after, **settings)
    members = problem.members(root, COUNT)
    return training.fit_ensemble(members, ensemble(batched), plan)


def _records(root):
    return [
        [{k: v for k, v in r.items() if k != "seconds"} for r in training.read_records(directory)]
        for directory in sorted(root.glob("member-*"))
    ]


def _saved(root):
    return [
        max([0, *(int(p.name) for p in (d / "checkpoints").iterdir() if p.name.isdigit())])
        for d in sorted(root.glob("member-*"))
    ]


def _assert_same(states, others, rtol):
    assert len(states) == len(others) == COUNT
    for x, y in zip(states, others, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol), x, y)


def _assert_as_alone(root, states, batched, stop_after=0):
    """One by one equals runs on one device to the last bit, batched to rounding."""
    rtol = 2e-5 if batched else 0
    found = expected(stop_after)
    _assert_same(states, [state for state, _ in found], rtol)
    for records, (_, others) in zip(_records(root), found, strict=True):
        assert [r["step"] for r in records] == [r["step"] for r in others]
        for record, other in zip(records, others, strict=True):
            assert record == pytest.approx(other, rel=rtol, abs=rtol)


def test_each_member_is_as_if_alone(tmp_path, batched):
    states = _fit(tmp_path, batched)
    _assert_as_alone(tmp_path, states, batched)
    switched = [int(state.model_state["small"]) for state in states]
    assert len(set(switched)) == COUNT  # evaluations changed the members at different steps
    assert _saved(tmp_path) == [problem.LAST] * COUNT


class _KilledError(Exception):
    pass


@pytest.fixture
def killed_at(monkeypatch):
    """Returns a function that makes the n-th save of a process its last."""

    def kill(number):
        saves, save = [], loop.Log.save

        def dying(log, step, state):
            saves.append(step)
            if len(saves) > number:
                raise _KilledError
            save(log, step, state)

        monkeypatch.setattr(loop.Log, "save", dying)

    yield kill


@pytest.mark.parametrize("saves", [1, 5])
def test_resumed_from_unequal_checkpoints(tmp_path, batched, killed_at, saves, monkeypatch):
    """Killed between the saves of two members, twice: those ahead wait for the others."""
    whole = _fit(tmp_path / "whole", batched)
    root = tmp_path / "killed"
    killed_at(saves)
    with pytest.raises(_KilledError):
        _fit(root, batched)
    assert _saved(root) == {1: [4, 0, 0], 5: [8, 8, 4]}[saves]
    monkeypatch.undo()
    killed_at(1)
    with pytest.raises(_KilledError):
        _fit(root, batched, steps_per_call=2)
    monkeypatch.undo()
    states = _fit(root, batched)
    _assert_same(states, whole, 0)
    assert _records(root) == _records(tmp_path / "whole")


def test_sigterm_saves_all_members(tmp_path, batched, monkeypatch):
    whole, write = _fit(tmp_path / "whole", batched), recorder.Recorder.write
    root = tmp_path / "stopped"

    def interrupt(self, step, metrics):
        if step == 5 and self._workdir.name == "member-1":  # a second signal would kill
            os.kill(os.getpid(), signal.SIGTERM)
        write(self, step, metrics)

    monkeypatch.setattr(recorder.Recorder, "write", interrupt)
    with pytest.raises(training.Interrupted, match="step 5 by SIGTERM"):
        _fit(root, batched)
    monkeypatch.undo()
    assert _saved(root) == [5] * COUNT
    _assert_same(_fit(root, batched), whole, 0)
    assert _records(root) == _records(tmp_path / "whole")


def test_members_that_finish_early(tmp_path, batched):
    """Their records end there, their checkpoint is kept, and nothing changes for the others."""
    states = _fit(tmp_path, batched, stop_after=4)
    _assert_as_alone(tmp_path, states, batched, stop_after=4)
    ends = [records[-1]["step"] for records in _records(tmp_path)]
    assert ends[0] < problem.LAST and len(set(ends)) > 1
    assert ends == _saved(tmp_path) == [int(state.step) for state in states]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.jsonl")}
    again = _fit(tmp_path, batched, stop_after=4)  # nothing is left to do
    _assert_same(again, states, 0)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.jsonl")}


def test_a_member_that_is_not_finite_is_named(tmp_path, batched):
    members = problem.members(tmp_path, COUNT)
    examples, weights, _ = members[1].batch
    members[1] = members[1]._replace(batch=(examples, weights, np.float32(np.nan)))
    with pytest.raises(FloatingPointError, match=r"member-1: not finite at step 1: train/loss"):
        training.fit_ensemble(members, ensemble(batched), problem.plan(tmp_path))


def test_batched_by_default_on_accelerators_only(monkeypatch):
    make = functools.partial(training.make_ensemble, problem.UPDATE, problem.measure, problem.after)
    assert not make().batched
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert make().batched


def test_layout():
    """On two devices; an empty place is -1."""
    active = np.array([True, False, True, True, True, True])
    (place,) = lanes.layout(active, batched=True)
    np.testing.assert_array_equal(place, [[0, 2, 3], [4, 5, -1]])
    assert [int(k) for k in lanes.layout(active, batched=False)] == [0, 2, 3, 4, 5]
    np.testing.assert_array_equal(
        lanes.placed(place, np.arange(6) + 10), [[10, 12, 13], [14, 15, 0]]
    )
    found = list(lanes.parts(place, {"x": place * 10}, np.arange(6) % 2 == 1))
    assert [(k, int(tree["x"])) for k, tree in found] == [(3, 30), (5, 50)]


@pytest.mark.parametrize(
    ("active", "one_by_one", "batched"),
    [(16, 8, 8), (15, 8, 8), (9, 5, 8), (8, 4, 4), (5, 3, 4), (4, 2, 2), (1, 1, 1), (0, 0, 0)],
)
def test_members_per_device(active, one_by_one, batched):
    """Of 16 on two devices; if batched, half of them or a quarter, so that few are compiled."""
    mask = np.arange(16) < active
    assert lanes.rounds(mask, batched=False) == one_by_one
    assert lanes.rounds(mask, batched=True) == batched
