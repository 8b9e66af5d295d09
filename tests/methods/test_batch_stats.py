"""BatchNorm statistics recomputed from data."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.sharding import PartitionSpec as P

from infojax.methods.interpolation import recompute_batch_stats
from tests.devices import mesh
from tests.methods.networks import Net


def updated(net, train=True):
    def apply(params, batch_stats, x):
        variables = {"params": params, "batch_stats": batch_stats}
        return net.apply(variables, x, train, mutable=["batch_stats"])[1]["batch_stats"]

    return apply


def problem(k=6, n=5):
    """Parameters, statistics unrelated to the data, and k batches."""
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.normal(size=(k, n, 4)) + rng.normal(size=(k, 1, 1)), jnp.float32)
    variables = Net().init(jax.random.key(0), x[0], train=True)
    foreign = jax.tree.map(lambda s: s + 17, variables["batch_stats"])
    return variables["params"], foreign, x


def expected_statistics(params, x):
    """In float64: mean and variance over all samples of the inputs of each layer.

    The layer before normalised each batch by itself.
    """
    x, found = np.asarray(x, float), {}
    for i in range(2):
        dense = params[f"Dense_{i}"]
        x = x @ np.asarray(dense["kernel"], float) + np.asarray(dense["bias"], float)
        every = x.reshape(-1, x.shape[-1])
        found[f"BatchNorm_{i}"] = {"mean": every.mean(0), "var": every.var(0)}
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
        x = np.maximum(x, 0)
    return found


def assert_close(got, expected, rtol=2e-6):
    jax.tree.map(lambda g, e: np.testing.assert_allclose(g, e, rtol=rtol, atol=2e-6), got, expected)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.999])
def test_statistics_cover_all_samples_at_any_momentum(momentum):
    params, foreign, x = problem()
    got = jax.jit(lambda *args: recompute_batch_stats(updated(Net(momentum)), *args))(
        params, foreign, x
    )
    assert_close(got, expected_statistics(params, x))
    # the variance between batches counts
    within = np.mean([expected_statistics(params, b[None])["BatchNorm_0"]["var"] for b in x], 0)
    assert np.all(got["BatchNorm_0"]["var"] > 1.05 * within)


def test_momentum_with_many_decimals_costs_a_float32_rounding():
    params, foreign, x = problem()
    momentum = math.exp(-1e-3)
    got = recompute_batch_stats(updated(Net(momentum)), params, foreign, x)
    assert_close(got, expected_statistics(params, x), rtol=2e-7 / (1 - momentum))


def test_batches_split_over_devices():
    params, foreign, x = problem()
    apply = updated(Net())
    expected = expected_statistics(params, x)

    def replica(params, foreign, x):
        return recompute_batch_stats(apply, params, foreign, x, axis_name="batch")

    mapped = jax.pmap(replica, axis_name="batch", in_axes=(None, None, 0))
    sharded = jax.shard_map(
        replica,
        mesh=mesh(),
        in_specs=(P(), P(), P("batch")),
        out_specs=P(),
    )
    by_pmap = mapped(params, foreign, x.reshape(2, 3, *x.shape[1:]))
    for got in (
        jax.tree.map(lambda s: s[0], by_pmap),
        jax.tree.map(lambda s: s[1], by_pmap),
        jax.jit(sharded)(params, foreign, x),
    ):
        assert_close(got, expected)


def test_batches_may_be_trees_and_layers_synchronised():
    """A batch may hold more than inputs, and a layer may average over devices itself."""
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
    assert_close(got["mean"][0], every.mean(0))
    np.testing.assert_allclose(got["var"][1], every.var(0), rtol=2e-6)


def test_errors_name_the_cause():
    params, stats, x = problem()
    apply = updated(Net())
    for nothing in ({}, None):
        with pytest.raises(ValueError, match="batch_stats is empty: the network has no BatchNorm"):
            recompute_batch_stats(apply, params, nothing, x)
    with pytest.raises(ValueError, match="pairs named mean and var, got SpectralNorm_0/sigma"):
        recompute_batch_stats(apply, params, {"SpectralNorm_0": {"sigma": jnp.ones(())}}, x)
    with pytest.raises(ValueError, match="pairs named mean and var, got var"):
        recompute_batch_stats(apply, params, {"var": jnp.ones(6)}, x)
    with pytest.raises(ValueError, match="training mode, but it left BatchNorm_0/mean unchanged"):
        recompute_batch_stats(updated(Net(), train=False), params, stats, x)
    with pytest.raises(ValueError, match="but BatchNorm_1/mean is in batch_stats only"):
        partly = lambda *args: {"BatchNorm_0": apply(*args)["BatchNorm_0"]}  # noqa: E731
        recompute_batch_stats(partly, params, stats, x)
    for batches in (x[:0], {"x": x, "y": jnp.zeros(2)}, jnp.float32(0), {}):
        with pytest.raises(ValueError, match="batches must be stacked along a first axis"):
            recompute_batch_stats(apply, params, stats, batches)
    hidden = recompute_batch_stats(jax.jit(updated(Net(), train=False)), params, stats, x)
    assert all(jnp.all(jnp.isnan(s)) for s in jax.tree.leaves(hidden))
