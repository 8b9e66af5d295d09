"""Statistics of whole data sets, against the definitions in float64 NumPy."""

import functools
import itertools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from infojax import collapse, moments, population
from infojax.population import Statistics
from tests.devices import run_on_eight
from tests.population.populations import (
    assert_statistics,
    collected,
    defined_statistics,
    problem,
    values,
)


@pytest.mark.parametrize(("n", "c"), [(1, 1), (5, 8), (400, 5), (3000, 2)])
def test_update(n, c):
    z, y, _ = problem(n, c=c)
    assert_statistics(collected(z, y, c), defined_statistics(z, y, c))


def test_update_in_float64(x64):
    z, y, _ = problem()
    got = collected(z, y, 5, jnp.float64)
    assert got.moments.dtype == got.scatter.dtype == jnp.float64
    assert_statistics(got, defined_statistics(z, y, 5), 1e-13)


def test_masked_samples_are_ignored_whatever_they_hold():
    z, y, _ = problem()
    mask = np.arange(len(y)) % 3 > 0
    expected = defined_statistics(z[mask], y[mask], 5)
    z, y = np.where(mask[:, None], z, np.nan), np.where(mask, y, -1)
    zeros = Statistics.zeros(5, 7)
    assert_statistics(zeros.update(z, jnp.asarray(y), jnp.asarray(mask)), expected)
    assert_statistics(jax.jit(Statistics.update)(zeros, z, y, mask), expected)
    none = zeros.update(z, jnp.asarray(y), jnp.zeros(len(y), bool))
    assert_statistics(none, jax.tree.map(np.zeros_like, expected))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_widened(dtype):
    z, y, _ = problem()
    z = jnp.asarray(z, dtype)
    expected = defined_statistics(np.asarray(z, np.float32), y, 5)
    assert_statistics(Statistics.zeros(5, 7, jnp.float32).update(z, jnp.asarray(y)), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_labels_of_any_width(dtype):
    z, y, _ = problem()
    y = y * 50  # 300 classes do not fit in uint8
    got = Statistics.zeros(300, 7).update(jnp.asarray(z), y.astype(dtype))
    assert_statistics(got, defined_statistics(z, y, 300))


def test_labels_beyond_32_bits_are_refused():
    z, y, _ = problem()
    with pytest.raises(ValueError, match="y holds labels that do not fit int32"):
        Statistics.zeros(5, 7).update(z, y + 2**32)


def test_a_million_samples_keep_their_digits():
    """Additions of nearly equal samples round the same way; a plain sum loses four digits."""
    n, steps, d = 1_000_000, 2000, 4
    rng = np.random.default_rng(0)
    z = (1 / 3 + 1e-3 * rng.normal(size=(n, d))).astype(np.float32)
    y = (np.arange(n) % 2).astype(np.int32)

    @jax.jit
    def collect(z, y):
        def add(s, batch):
            x = moments.unit_rows(batch[0])
            return (s[0].update(*batch), s[1] + x.T @ x), None

        start = Statistics.zeros(2, d, jnp.float32), jnp.zeros((d, d), jnp.float32)
        return jax.lax.scan(add, start, (z.reshape(steps, -1, d), y.reshape(steps, -1)))[0]

    got, plain = collect(z, y)
    expected = defined_statistics(z, y, 2)
    assert_statistics(got, expected, 3e-7)
    total = expected[1].sum(0)
    plain_error = np.max(np.abs(plain - total)) / np.max(total)
    error = np.max(np.abs(got.moments.sum(0) - total)) / np.max(total)
    assert error < 0.1 * plain_error


@hypothesis.settings(deadline=None, max_examples=25)
@hypothesis.given(st.permutations(range(6)), st.lists(st.integers(0, 120), min_size=5, max_size=5))
def test_merging_any_partition_in_any_order(order, cuts):
    z, y, w = _partitioned()
    edges = [0, *sorted(cuts), 120]
    padded = [_part(lo, hi) for lo, hi in itertools.pairwise(edges)]
    merged = functools.reduce(Statistics.merge, [padded[i] for i in order])
    assert_statistics(merged, defined_statistics(z, y, 3), 2e-6)
    whole = population.interplay(collected(z, y, 3), w)
    np.testing.assert_allclose(values(population.interplay(merged, w)), values(whole), atol=3e-5)


@functools.cache
def _partitioned():
    return problem(120, 4, 3, offset=5.0)


def _part(lo, hi):
    z, y, _ = _partitioned()
    index = np.arange(len(y))
    mask = jnp.asarray((index >= lo) & (index < hi))
    return Statistics.zeros(3, 4).update(jnp.asarray(z), jnp.asarray(y), mask)


def test_statistics_are_a_pytree():
    z, y, _ = problem()
    s = collected(z, y, 5)
    leaves, structure = jax.tree.flatten(s)
    assert_statistics(jax.tree.unflatten(structure, leaves), defined_statistics(z, y, 5))


def check_devices():
    """Statistics by psum under pmap and shard_map, against one device."""
    k = jax.device_count()
    z, y, w = problem(50 * k, offset=5.0)
    z, y = jnp.asarray(z), jnp.asarray(y.astype(np.int32))
    expected = defined_statistics(np.asarray(z), np.asarray(y), 5)
    whole = values(population.interplay(collected(z, y, 5), w))

    def collect(z, y):
        return Statistics.zeros(5, 7).update(z, y).psum("devices")

    mapped = jax.pmap(collect, axis_name="devices")(z.reshape(k, 50, 7), y.reshape(k, 50))
    found = [jax.tree.map(lambda x: x[-1], mapped)]
    mesh = jax.sharding.Mesh(jax.devices(), ("devices",))
    for check_vma in (True, False):
        sharded = jax.shard_map(
            collect, mesh=mesh, in_specs=P("devices"), out_specs=P(), check_vma=check_vma
        )
        found.append(jax.jit(sharded)(z, y))
    for got in found:
        assert_statistics(jax.device_get(got), expected)
        got = jax.tree.map(jnp.asarray, jax.device_get(got))
        # Mutual information is a difference of entropies and has their absolute error.
        close = {"rtol": 1e-5, "atol": 1e-5}
        np.testing.assert_allclose(values(population.interplay(got, w)), whole, **close)


def test_psum_on_these_devices():
    assert jax.device_count() == 2
    check_devices()


def test_psum_on_eight_devices():
    run_on_eight(check_devices)


def test_labels_out_of_range():
    z, y, w = problem()
    y[3] = 5
    zeros = Statistics.zeros(5, 7)
    with pytest.raises(ValueError, match=r"y must hold labels in \[0, 5\), got 0 to 5"):
        zeros.update(z, y)
    y[3] = -1
    with pytest.raises(ValueError, match="labels"):
        zeros.update(z, y)
    s = jax.jit(Statistics.update)(zeros, z, y)
    assert_every_number_is_nan(s, w)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_or_inf_features_make_every_number_nan(bad):
    z, y, w = problem()
    z[17, 2] = bad
    assert_every_number_is_nan(collected(z, y, 5), w)


def assert_every_number_is_nan(s, w):
    numbers = (
        values(population.interplay(s, w)),
        population.interplay(s, w).standard_error,
        population.class_interplay(s, w),
        population.within_class_entropies(s),
        population.class_mean_entropy(s),
        population.effective_rank(s),
        collapse.neural_collapse(s, w),
    )
    assert all(np.all(np.isnan(x)) for x in jax.tree.leaves(numbers))


def test_no_samples_give_nan():
    assert_every_number_is_nan(Statistics.zeros(5, 7), jnp.ones((5, 7)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.update(jnp.ones((4, 3)), jnp.zeros(4, int)), "z must have 7 columns"),
        (lambda s: s.update(jnp.ones((4, 7)), jnp.zeros(3, int)), "y must be integer"),
        (lambda s: s.update(jnp.ones((4, 7)), jnp.zeros(4)), "y must be integer"),
        (lambda s: s.update(jnp.ones((1, 7)), jnp.zeros(1, int), jnp.ones(1)), "mask must be bool"),
        (lambda s: s.merge(Statistics.zeros(5, 6)), "must agree in classes and features"),
        (lambda s: Statistics.zeros(0, 6), "c >= 1"),
        (lambda s: Statistics.zeros(2, 6, jnp.float16), "float32 or float64"),
        (lambda s: population.interplay(s, jnp.ones((5, 6))), r"w must have shape \(5, 7\)"),
        (lambda s: population.interplay(s, jnp.ones((5, 7)), rtol=-1.0), "rtol >= 0"),
        (lambda s: population.interplay(s, jnp.ones((5, 7)), 0.0), "alpha must be positive"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call(Statistics.zeros(5, 7))
