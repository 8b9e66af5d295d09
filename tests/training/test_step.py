import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from infojax import losses, training
from tests import problems


@pytest.mark.parametrize("n", [1, 7, 8])
def test_two_devices_equal_one(n):
    """Even if the devices do not divide n, or a device has only padding."""
    one, two = (problems.trained(problems.cross_entropy, optax.sgd(0.5), n, k, 4) for k in (1, 2))
    assert one.step == two.step == 4
    _assert_close(one, two)


def _assert_close(one, other):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-6), one, other)


def test_one_step_is_gradient_descent_on_the_mean_loss():
    inputs, labels = problems.examples(7)
    params = problems.init_params()

    def mean_loss(params):
        logits = problems.features_of(params, inputs) @ params["head"].T
        return jnp.mean(losses.cross_entropy(logits, labels))

    loss, gradient = jax.value_and_grad(mean_loss)(params)
    after = problems.trained(problems.cross_entropy, optax.sgd(0.5), 7, 2, 1)
    np.testing.assert_allclose(after.loss, loss, rtol=1e-5)
    expected = jax.tree.map(lambda p, g: p - 0.5 * g, params, gradient)
    _assert_close(after.params, expected)


def test_information_loss_over_two_devices_equals_one():
    one, two = (
        problems.trained(problems.with_information, optax.sgd(0.5), 8, k, 3) for k in (1, 2)
    )
    plain = problems.trained(problems.cross_entropy, optax.sgd(0.5), 8, 2, 3)
    assert np.max(np.abs(two.params["hidden"] - plain.params["hidden"])) > 1e-2
    _assert_close(one, two)


def test_eight_devices_equal_one():
    flags = os.environ["XLA_FLAGS"].replace("device_count=2", "device_count=8")
    done = subprocess.run(
        [sys.executable, "-m", "tests.problems"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert [*results["plain"], *results["informed"]] == ["1", "8", "1", "4", "8"]
    assert results["plain"]["1"]["loss"] != results["informed"]["1"]["loss"]
    for by_devices in results.values():
        for values in by_devices.values():
            for name, x in values.items():
                np.testing.assert_allclose(x, by_devices["1"][name], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("check_vma", [False, True])
@pytest.mark.parametrize("loss_fn", [problems.cross_entropy, problems.with_information])
def test_shard_map_equals_pmap(loss_fn, check_vma):
    """Parameters are cast to varying, else shard_map would sum their gradients."""
    optimizer = optax.sgd(0.5)
    update = training.Update(training.stateless(loss_fn), optimizer)
    batch = jax.tree.map(np.concatenate, training.shard_padded(problems.examples(8), 2))
    mesh = jax.make_mesh((2,), (training.AXIS,), axis_types=(jax.sharding.AxisType.Auto,))
    replicated, split = PartitionSpec(), PartitionSpec(training.AXIS)

    def step(state, batch):
        if check_vma:
            cast = lambda x: jax.lax.pcast(x, training.AXIS, to="varying")  # noqa: E731
            state = jax.tree.map(cast, state)
        state = training.train_step(state, batch, update)
        return jax.tree.map(lambda x: x[None], state)

    mapped = jax.shard_map(
        step, mesh=mesh, in_specs=(replicated, split), out_specs=split, check_vma=check_vma
    )
    state = training.init_state(update, problems.init_params())
    for _ in range(3):
        state = problems.single(jax.jit(mapped)(state, batch))
    _assert_close(state, problems.trained(loss_fn, optimizer, 8, 2, 3))


@pytest.mark.parametrize("num_devices", [1, 2])
def test_chunks_of_any_length_give_the_same_bits(num_devices):
    optimizer = optax.chain(optax.trace(0.9), optax.scale(-0.1))
    update = training.Update(training.stateless(problems.cross_entropy), optimizer)
    advance = training.make_train_step(update)
    batch = training.shard_padded(problems.examples(7), num_devices)
    states = []
    for chunks in ([10], [3, 7], [1] * 10, [9, 0, 1]):
        state = training.init_state(update, problems.init_params())
        state = problems.replicate(state, num_devices)
        for chunk in chunks:
            state = advance(state, batch, chunk)
        states.append(problems.single(state))
    assert states[0].step == 10
    assert np.any(states[0].params["head"] != problems.init_params()["head"])
    for state in states[1:]:
        jax.tree.map(np.testing.assert_array_equal, state, states[0])


@pytest.mark.parametrize(("n", "k"), [(7, 1), (7, 2), (8, 2), (1, 2), (3, 8), (9, 4)])
def test_shard_padded(n, k):
    """The mean over devices of the weighted sums is the mean over examples, for any loss."""
    values, labels = np.arange(1.0, n + 1) ** 2, np.arange(n)
    (x, y), weights = training.shard_padded((values, labels), k)
    assert x.shape == y.shape == weights.shape == (k, -(-n // k))
    assert weights.dtype == np.float32
    np.testing.assert_allclose(np.mean(np.sum(weights * x, 1)), values.mean(), rtol=1e-6)
    np.testing.assert_array_equal(x[weights > 0], values)
    np.testing.assert_array_equal(y[weights > 0], labels)
    assert np.isin(x, values).all()  # padding repeats an example


def _advanced(table, chunks, slopes=None):
    loss_fn, optimizer, params = problems.scripted(table, slopes)
    update = training.Update(training.stateless(loss_fn), optimizer)
    advance = training.make_train_step(update)
    state = problems.replicate(training.init_state(update, params), 2)
    states = []
    for chunk in chunks:
        state = advance(state, np.zeros((2, 1), np.float32), chunk)
        states.append(problems.single(state))
    return states


def test_spike_monitor():
    """Largest ratio of a loss to the smallest one before it."""
    states = _advanced([4, 8, 2, 1, 3, 0.5, 1], [1, 1, 2, 1, 2])
    assert [float(s.loss) for s in states] == [4, 8, 1, 3, 1]
    assert [float(s.lowest_loss) for s in states] == [4, 4, 1, 1, 0.5]
    assert [float(s.spike) for s in states] == [0, 2, 2, 3, 3]


def test_spike_is_finite_after_a_loss_rounded_to_zero():
    """The ordinary cross-entropy underflows to 0 in float32; that must not stop a run."""
    states = _advanced([2, 0, 0, 1, 100], [3, 1, 1])
    assert float(states[0].spike) == 0
    assert 1e30 < float(states[1].spike) < np.inf
    assert np.isfinite(states[2].spike)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_loop_ends_at_a_loss_that_is_not_finite(bad):
    (state,) = _advanced([3, 2, bad, 1, 1, 1], [6])
    assert state.step == 3
    np.testing.assert_array_equal(state.loss, bad)


def _drawn(params, model_state, data, index):
    """A loss that draws rows by the index, counts its calls and returns a term."""
    inputs, labels = data
    rows = (index * 4 + jnp.arange(4, dtype=jnp.int32)) % 16
    logits = problems.features_of(params, inputs[rows]) @ params["head"].T
    loss = jnp.mean(losses.cross_entropy(logits, labels[rows]))
    return loss, ({"calls": model_state["calls"] + 1}, {"twice": 2 * loss})


def _run_drawn(update, num_steps, loop_on_device=True):
    state = training.init_state(update, problems.init_params(), {"calls": jnp.float32(0)})
    data = problems.replicate(problems.examples(16), 1)
    advance = training.make_train_step(update, loop_on_device)
    return problems.single(advance(problems.replicate(state, 1), data, num_steps))


@pytest.fixture(scope="module")
def accumulated():
    return _run_drawn(training.Update(_drawn, optax.sgd(0.5), 0.9, parts=2, terms=("twice",)), 3)


def test_accumulated_gradients_equal_those_of_the_whole_batch(accumulated):
    """Two parts of 4 rows against batches of 8; the model state passes through the parts."""
    inputs, labels = problems.examples(16)
    params = problems.init_params()
    for step in range(3):
        rows = np.arange(8 * step, 8 * step + 8) % 16

        def mean_loss(params, rows=rows):
            logits = problems.features_of(params, inputs[rows]) @ params["head"].T
            return jnp.mean(losses.cross_entropy(logits, labels[rows]))

        loss, gradient = jax.value_and_grad(mean_loss)(params)
        params = jax.tree.map(lambda p, g: p - 0.5 * g, params, gradient)
    _assert_close(accumulated.params, params)
    np.testing.assert_allclose(accumulated.loss, loss, rtol=1e-5)
    np.testing.assert_allclose(accumulated.terms["twice"], 2 * loss, rtol=1e-5)
    assert accumulated.model_state["calls"] == 6


def test_moving_average_of_the_parameters():
    """0.9 of the old and 0.1 of the new, starting from the initial parameters."""
    update = training.Update(_drawn, optax.sgd(0.5), 0.9, terms=("twice",))
    ema = problems.init_params()
    for steps in (1, 2, 3):
        state = _run_drawn(update, steps)
        ema = jax.tree.map(lambda e, p: 0.9 * e + 0.1 * p, ema, state.params)
    _assert_close(state.ema, ema)
    assert np.any(state.ema["head"] != state.params["head"])


def test_steps_dispatched_one_by_one(accumulated):
    update = training.Update(_drawn, optax.sgd(0.5), 0.9, parts=2, terms=("twice",))
    _assert_close(_run_drawn(update, 3, loop_on_device=False), accumulated)


def test_steps_one_by_one_stop_at_a_bad_loss():
    loss_fn, optimizer, params = problems.scripted([3, 2, np.nan, 1, 1])
    update = training.Update(training.stateless(loss_fn), optimizer)
    state = problems.replicate(training.init_state(update, params), 1)
    advance = training.make_train_step(update, loop_on_device=False)
    state = problems.single(advance(state, np.zeros((1, 1), np.float32), 5))
    assert state.step == 3 and np.isnan(state.loss) and state.params["x"] == 3
