"""Gradient filters against the papers' updates in float64 NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from infojax.methods.gradients import grokfast_ema, grokfast_ma, orthogonal_gradients

STEPS, DECAY, WINDOW, WEIGHT = 11, 0.8, 3, 1.5


def problem():
    """Parameters, and gradients of several steps."""
    rng = np.random.default_rng(0)
    params = {"a": rng.normal(size=(3, 2)), "b": {"c": rng.normal(size=4)}}
    gradients = [jax.tree.map(lambda x: rng.normal(size=x.shape), params) for _ in range(STEPS)]
    return params, gradients


def ema(seen, g):
    h = seen[0]
    for each in seen:
        h = DECAY * h + (1 - DECAY) * each
    return g + WEIGHT * h


def moving_average(seen, g):
    return g if len(seen) < WINDOW else g + WEIGHT * sum(seen[-WINDOW:]) / WINDOW


FILTERS = [(grokfast_ema(DECAY, WEIGHT), ema), (grokfast_ma(WINDOW, WEIGHT), moving_average)]


@pytest.mark.parametrize(("transformation", "update"), FILTERS)
def test_grokfast_is_the_papers_update(transformation, update):
    params, gradients = problem()
    params = jax.tree.map(jnp.float32, params)
    state, seen = transformation.init(params), []
    step = jax.jit(transformation.update)
    for g in gradients:
        seen.append(g)
        filtered, state = step(jax.tree.map(jnp.float32, g), state)
        expected = jax.tree.map(lambda *leaves: update(list(leaves), leaves[-1]), *seen)
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), filtered, expected
        )


def test_orthogonal_gradients_keep_the_norm_array_by_array():
    params, gradients = problem()
    filtered, _ = jax.jit(orthogonal_gradients().update)(
        jax.tree.map(jnp.float32, gradients[0]),
        optax.EmptyState(),
        jax.tree.map(jnp.float32, params),
    )
    for got, g, w in zip(*map(jax.tree.leaves, (filtered, gradients[0], params)), strict=True):
        rest = g - np.vdot(w, g) / np.vdot(w, w) * w
        expected = rest * np.linalg.norm(g) / np.linalg.norm(rest)
        np.testing.assert_allclose(got, expected, rtol=1e-5)
        assert abs(np.vdot(got, w)) < 1e-5 * np.linalg.norm(w)


def test_orthogonal_gradients_where_something_is_zero():
    zero, one = jnp.zeros(2), jnp.ones(2)
    update = orthogonal_gradients().update
    assert update(one, optax.EmptyState(), zero)[0].tolist() == [1, 1]  # biases at the start
    assert update(zero, optax.EmptyState(), one)[0].tolist() == [0, 0]
    assert np.all(np.isfinite(update(2 * one, optax.EmptyState(), one)[0]))


def test_filters_chain_before_an_optimizer_under_vmap():
    """Over seeds, as the ensemble of the grokking experiment trains them."""
    filters = grokfast_ema(), grokfast_ma(2), orthogonal_gradients()
    optimizer = optax.chain(*filters, optax.sgd(0.1, momentum=0.9))
    params = jnp.arange(6.0).reshape(2, 3)

    def step(params, state):
        updates, state = optimizer.update(jnp.sin(params), state, params)
        return optax.apply_updates(params, updates), state

    state = jax.vmap(optimizer.init)(params)
    single = params[1], optimizer.init(params[1])
    for _ in range(3):
        params, state = jax.jit(jax.vmap(step))(params, state)
        single = step(*single)
    np.testing.assert_allclose(params[1], single[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: grokfast_ema(1.0), "decay must lie in"),
        (lambda: grokfast_ma(0), "window must be at least 1"),
        (lambda: orthogonal_gradients().update(jnp.ones(2), optax.EmptyState()), "parameters"),
    ],
)
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()
