"""Interpolated networks and error barriers."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from infojax.methods.interpolation import barrier, interpolate
from tests.methods.networks import Net

NET = Net(momentum=0.9, width=24, classes=2)


def trees():
    rng = np.random.default_rng(0)
    draw = lambda: {  # noqa: E731
        "params": {"kernel": jnp.asarray(rng.normal(size=(40, 50)), jnp.float32)},
        "batch_stats": [
            jnp.asarray(1e3 * rng.normal(size=7), jnp.bfloat16),
            jnp.float32(rng.normal()),
        ],
        "step": jnp.int32(rng.integers(1000)),
    }
    return draw(), draw()


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)
    assert jax.tree.map(jnp.result_type, a) == jax.tree.map(jnp.result_type, b)


def test_end_points_are_exact_and_one_compilation_serves_all():
    a, b = trees()
    f = jax.jit(interpolate)
    for g in (f, interpolate):
        assert_equal(g(a, b, 0.0), a)
        assert_equal(g(a, b, 1.0), b)
    for omega in np.linspace(0, 1, 30).tolist():
        mixed = f(a, b, omega)
        for name in ("params", "batch_stats"):
            for x, y, z in zip(*map(jax.tree.leaves, (a[name], b[name], mixed[name])), strict=True):
                expected = (1 - omega) * np.asarray(x, float) + omega * np.asarray(y, float)
                eps = float(jnp.finfo(x.dtype).eps)
                scale = float(jnp.max(jnp.abs(x)) + jnp.max(jnp.abs(y)))
                np.testing.assert_allclose(np.asarray(z, float), expected, rtol=0, atol=eps * scale)
        assert mixed["step"] == (a if omega < 0.5 else b)["step"]
    assert f._cache_size() == 1


def test_a_network_interpolated_with_itself_is_unchanged():
    a, _ = trees()
    for omega in (0.1, 1 / 3, 0.7):
        assert_equal(interpolate(a, a, omega), a)


def test_integers_doubles_and_derivatives(x64):
    assert interpolate(jnp.float64(1.0), jnp.float64(2.0), 1 / 3) == 1 + 1 / 3
    assert interpolate(jnp.float64(1.0), jnp.float64(2.0), 1) == 2
    line = lambda omega: interpolate(jnp.float64(1.0), jnp.float64(4.0), omega)  # noqa: E731
    slopes = jax.vmap(jax.grad(line))(jnp.array([0.0, 0.3, 0.5, 1.0]))
    np.testing.assert_array_equal(slopes, 3.0)
    assert interpolate([jnp.array([True, False])], [jnp.array([False, False])], 0.4)[0][0]
    assert jnp.isnan(interpolate(jnp.float32(math.nan), jnp.float32(2.0), 0.9))


def test_errors_name_the_leaf_that_differs():
    a, b = trees()
    with pytest.raises(
        ValueError, match=r"params/kernel is float32\(40, 50\) in a and .*\(3,\) in b"
    ):
        interpolate(a, b | {"params": {"kernel": jnp.ones(3)}}, 0.5)
    with pytest.raises(ValueError, match=r"step is int32\(\) in a and float32\(\) in b"):
        interpolate(a, b | {"step": jnp.float32(0)}, 0.5)
    with pytest.raises(ValueError, match="params/bias is in b only"):
        interpolate(a, b | {"params": b["params"] | {"bias": jnp.ones(3)}}, 0.5)
    with pytest.raises(ValueError, match="in the same containers"):
        interpolate(a, b | {"batch_stats": tuple(b["batch_stats"])}, 0.5)
    with pytest.raises(ValueError, match=r"the array is float32\(2,\) in a"):
        interpolate(jnp.ones(2), jnp.ones(3), 0.5)
    with pytest.raises(ValueError, match=r"omega must be one number, got shape \(30,\)"):
        interpolate(a, b, jnp.linspace(0, 1, 30))


def test_barrier():
    errors = np.array([[0.1, 0.1, 0.1], [0.3, 0.9, 0.1], [0.2, 0.0, 0.4], [0.1, math.nan, 0.1]])
    np.testing.assert_allclose(
        barrier(errors.astype(np.float32)), [0, 0.7, 0.1, math.nan], atol=1e-7
    )
    assert jax.jit(barrier)(errors[1].astype(np.float32)).shape == ()
    for few in (np.float32(1.0), np.ones(1, np.float32)):
        with pytest.raises(ValueError, match="two or more points"):
            barrier(few)


# A permuted network: the same function, with other parameters


def rings():
    """Points in the plane, labelled by whether their ring of four is even or odd."""
    rng = np.random.default_rng(2)
    radius, angle = 4 * rng.uniform(size=256), 2 * np.pi * rng.uniform(size=256)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return jnp.asarray(x, jnp.float32), jnp.asarray(radius.astype(int) % 2)


@pytest.fixture(scope="module")
def trained():
    """Variables of a network trained to classify the rings."""
    x, y = rings()
    schedule = lambda count: 0.2 * (1 - count.astype(jnp.float32) / 300)  # noqa: E731
    optimizer = optax.sgd(schedule, momentum=0.9, nesterov=True)

    @jax.jit
    def train(variables):
        def loss(params, batch_stats):
            logits, new = NET.apply(
                {"params": params, "batch_stats": batch_stats}, x, True, mutable=["batch_stats"]
            )
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
            return loss, new["batch_stats"]

        def step(carry, _):
            params, batch_stats, state = carry
            gradient, batch_stats = jax.grad(loss, has_aux=True)(params, batch_stats)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, updates), batch_stats, state), None

        params, batch_stats = variables["params"], variables["batch_stats"]
        start = params, batch_stats, optimizer.init(params)
        params, batch_stats, _ = jax.lax.scan(step, start, None, 300)[0]
        return {"params": params, "batch_stats": batch_stats}

    return train(NET.init(jax.random.key(0), x, True))


def permuted(variables, orders):
    """The same function, with the hidden units of both layers reordered."""
    variables = jax.tree.map(lambda x: x, variables)
    params, stats = variables["params"], variables["batch_stats"]
    for i, order in enumerate(orders):
        units = [params[f"Dense_{i}"], params[f"BatchNorm_{i}"], stats[f"BatchNorm_{i}"]]
        for layer in units:
            layer.update({name: x[..., order] for name, x in layer.items()})
        params[f"Dense_{i + 1}"]["kernel"] = params[f"Dense_{i + 1}"]["kernel"][order]
    return variables


@jax.jit
def errors_along(a, b):
    x, y = rings()
    error = lambda v: jnp.mean(jnp.argmax(NET.apply(v, x, False), 1) != y)  # noqa: E731
    omegas = jnp.linspace(0, 1, 30)
    return jax.vmap(lambda omega: error(interpolate(a, b, omega)))(omegas)


def test_a_permuted_network_has_a_barrier_and_permuting_back_removes_it(trained):
    rng = np.random.default_rng(3)
    orders = [rng.permutation(NET.width) for _ in range(2)]
    other = permuted(trained, orders)
    errors = errors_along(trained, other)
    assert errors[0] < 0.05
    assert abs(errors[-1] - errors[0]) < 0.01
    assert barrier(errors) > 0.2
    back = permuted(other, [np.argsort(order) for order in orders])
    assert_equal(back, trained)
    flat = errors_along(trained, back)
    np.testing.assert_array_equal(flat, errors[0])
    assert barrier(flat) == 0
