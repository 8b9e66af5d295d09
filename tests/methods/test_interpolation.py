"""Interpolated networks, barriers, and BatchNorm statistics recomputed from data."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.sharding import PartitionSpec as P

from infojax.methods.interpolation import barrier, interpolate, recompute_batch_stats

# Interpolation


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


def test_a_net_with_itself_does_not_change():
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


def test_networks_that_do_not_match_are_named():
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


# BatchNorm statistics


class Net(nn.Module):
    """Two normalised layers and a head."""

    momentum: float = 0.999
    width: int = 6
    classes: int = 3

    @nn.compact
    def __call__(self, x, train):
        for _ in range(2):
            x = nn.Dense(self.width)(x)
            x = nn.relu(nn.BatchNorm(momentum=self.momentum, use_running_average=not train)(x))
        return nn.Dense(self.classes)(x)


def updated(net, train=True):
    def apply(params, batch_stats, x):
        variables = {"params": params, "batch_stats": batch_stats}
        return net.apply(variables, x, train, mutable=["batch_stats"])[1]["batch_stats"]

    return apply


def problem(k=6, n=5):
    """A network with statistics that have nothing to do with the data, and k batches."""
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.normal(size=(k, n, 4)) + rng.normal(size=(k, 1, 1)), jnp.float32)
    variables = Net().init(jax.random.key(0), x[0], train=True)
    foreign = jax.tree.map(lambda s: s + 17, variables["batch_stats"])
    return variables["params"], foreign, x


def expected_statistics(params, x):
    """In float64: of each layer the mean and variance of its inputs over all samples, where each
    batch was normalised by itself in the layer before."""
    x, found = np.asarray(x, float), {}
    for i in range(2):
        dense = params[f"Dense_{i}"]
        x = x @ np.asarray(dense["kernel"], float) + np.asarray(dense["bias"], float)
        every = x.reshape(-1, x.shape[-1])
        found[f"BatchNorm_{i}"] = {"mean": every.mean(0), "var": every.var(0)}
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
        x = np.maximum(x, 0)
    return found


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.999])
def test_recomputed_statistics_are_those_of_all_samples_whatever_the_momentum(momentum):
    params, foreign, x = problem()
    got = jax.jit(lambda *args: recompute_batch_stats(updated(Net(momentum)), *args))(
        params, foreign, x
    )
    expected = expected_statistics(params, x)
    jax.tree.map(lambda g, e: np.testing.assert_allclose(g, e, rtol=2e-6, atol=2e-6), got, expected)
    # the variance between batches counts
    within = np.mean([expected_statistics(params, b[None])["BatchNorm_0"]["var"] for b in x], 0)
    assert np.all(got["BatchNorm_0"]["var"] > 1.05 * within)


def test_odd_momentum_costs_a_rounding_of_float32():
    params, foreign, x = problem()
    momentum = math.exp(-1e-3)
    got = recompute_batch_stats(updated(Net(momentum)), params, foreign, x)
    expected = expected_statistics(params, x)
    bound = 2e-7 / (1 - momentum)
    jax.tree.map(
        lambda g, e: np.testing.assert_allclose(g, e, rtol=bound, atol=2e-6), got, expected
    )


def test_recomputed_statistics_of_batches_split_over_devices():
    params, foreign, x = problem()
    apply = updated(Net())
    expected = expected_statistics(params, x)

    def replica(params, foreign, x):
        return recompute_batch_stats(apply, params, foreign, x, axis_name="batch")

    mapped = jax.pmap(replica, axis_name="batch", in_axes=(None, None, 0))
    sharded = jax.shard_map(
        replica,
        mesh=jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,)),
        in_specs=(P(), P(), P("batch")),
        out_specs=P(),
    )
    by_pmap = mapped(params, foreign, x.reshape(2, 3, *x.shape[1:]))
    for got in (
        jax.tree.map(lambda s: s[0], by_pmap),
        jax.tree.map(lambda s: s[1], by_pmap),
        jax.jit(sharded)(params, foreign, x),
    ):
        jax.tree.map(
            lambda g, e: np.testing.assert_allclose(g, e, rtol=2e-6, atol=2e-6), got, expected
        )


def test_statistics_of_trees_of_batches_and_of_synchronised_layers():
    """A batch may hold more than inputs, and a layer may average over devices by itself."""
    x = problem()[2]
    layer = nn.BatchNorm(use_running_average=False, axis_name="batch")
    variables = layer.init(jax.random.key(0), x[0])

    def apply(params, batch_stats, batch):
        variables = {"params": params, "batch_stats": batch_stats}
        scaled = batch["scale"] * batch["inputs"]
        return layer.apply(variables, scaled, mutable=["batch_stats"])[1]["batch_stats"]

    def replica(inputs):
        batches = {"inputs": inputs, "scale": jnp.arange(1.0, 4.0)}
        return recompute_batch_stats(
            apply, variables["params"], variables["batch_stats"], batches, axis_name="batch"
        )

    halves = x.reshape(2, 3, *x.shape[1:])
    got = jax.pmap(replica, axis_name="batch")(halves)
    every = np.asarray(halves, float) * np.arange(1, 4)[None, :, None, None]
    every = every.reshape(-1, x.shape[-1])
    np.testing.assert_allclose(got["mean"][0], every.mean(0), rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(got["var"][1], every.var(0), rtol=2e-6)


def test_what_cannot_be_recomputed_is_named():
    params, stats, x = problem()
    apply = updated(Net())
    for nothing in ({}, None):
        with pytest.raises(ValueError, match="batch_stats is empty: a network without BatchNorm"):
            recompute_batch_stats(apply, params, nothing, x)
    with pytest.raises(
        ValueError, match="mean and var beside each other, got SpectralNorm_0/sigma"
    ):
        recompute_batch_stats(apply, params, {"SpectralNorm_0": {"sigma": jnp.ones(())}}, x)
    with pytest.raises(ValueError, match="mean and var beside each other, got var"):
        recompute_batch_stats(apply, params, {"var": jnp.ones(6)}, x)
    with pytest.raises(ValueError, match="training mode, but it left BatchNorm_0/mean as it was"):
        recompute_batch_stats(updated(Net(), train=False), params, stats, x)
    with pytest.raises(ValueError, match="but BatchNorm_1/mean is in batch_stats only"):
        partly = lambda *args: {"BatchNorm_0": apply(*args)["BatchNorm_0"]}  # noqa: E731
        recompute_batch_stats(partly, params, stats, x)
    for batches in (x[:0], {"x": x, "y": jnp.zeros(2)}, jnp.float32(0), {}):
        with pytest.raises(ValueError, match="batches must be stacked along a first axis"):
            recompute_batch_stats(apply, params, stats, batches)
    hidden = recompute_batch_stats(jax.jit(updated(Net(), train=False)), params, stats, x)
    assert all(jnp.all(jnp.isnan(s)) for s in jax.tree.leaves(hidden))


# A permuted network: the same function, far away


NET = Net(momentum=0.9, width=24, classes=2)


def rings():
    """Points in the plane, labelled by which of four rings they lie in, even or odd."""
    rng = np.random.default_rng(2)
    radius, angle = 4 * rng.uniform(size=256), 2 * np.pi * rng.uniform(size=256)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return jnp.asarray(x, jnp.float32), jnp.asarray(radius.astype(int) % 2)


@pytest.fixture(scope="module")
def trained():
    """Variables of a network that has learned the rings."""
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
    """The same function with the hidden units of both layers in another order."""
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
