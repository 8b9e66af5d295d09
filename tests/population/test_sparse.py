"""Statistics of the classes that occur, against statistics of all classes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from infojax import collapse, population
from infojax.population import Statistics, slots
from tests.devices import run_on_eight
from tests.population.populations import problem

C, D = 60, 7
HELD = np.array([57, 3, 20, 41, 8])  # the classes that occur


def sparse_problem(n=400):
    z, y, _ = problem(n)
    w = np.random.default_rng(1).normal(size=(C, D)).astype(np.float32)
    return z, HELD[y].astype(np.int32), w


def numbers(s, z, w):
    return [
        np.asarray(x)
        for x in (
            *population.class_interplay(s, w),
            *collapse.neural_collapse(s, w),
            collapse.nearest_class_mean_agreement(z, s, w),
            population.class_mean_entropy(s),
            population.effective_rank(s),
            jnp.sort(population.within_class_entropies(s))[-5:],
            *jax.tree.leaves(population.interplay(s, w)),
            population.interplay(s, w, 2.0).mir,
        )
    ]


def assert_same_numbers(got, expected, z, w):
    for a, b in zip(numbers(got, z, w), numbers(expected, z, w), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("capacity", [5, 8])
def test_equal_to_the_statistics_of_all_classes(capacity):
    z, y, w = sparse_problem()
    mask = np.arange(len(y)) % 7 > 0
    dense, sparse = Statistics.zeros(C, D), Statistics.zeros(C, D, capacity=capacity)
    assert sparse.moments.shape == (capacity, D, D)
    for part in (slice(0, 3), slice(3, 150), slice(150, None)):
        dense = dense.update(z[part], y[part], mask[part])
        sparse = sparse.update(z[part], y[part], mask[part])
    assert set(np.asarray(sparse.classes)) - {C} == set(HELD)
    np.testing.assert_array_equal(sparse.counts[:5], dense.counts[sparse.classes[:5]])
    assert_same_numbers(sparse, dense, z, w)


def shard(capacity, classes, half):
    """Statistics of the samples of some classes in one half of the problem."""
    z, y, _ = sparse_problem()
    mask = np.isin(y, classes) & (np.arange(len(y)) % 2 == half)
    return Statistics.zeros(C, D, capacity=capacity).update(z, y, mask)


def test_shards_that_saw_different_classes():
    z, y, w = sparse_problem()
    expected = Statistics.zeros(C, D).update(z, y)
    few, others, rest = shard(5, HELD[:2], 0), shard(5, HELD[2:], 0), shard(5, HELD, 1)
    assert_same_numbers(few.merge(others).merge(rest), expected, z, w)
    assert_same_numbers(jax.jit(Statistics.merge)(rest, few.merge(others)), expected, z, w)
    larger = Statistics.zeros(C, D, capacity=9).merge(few).merge(others).merge(rest)
    assert larger.classes.shape == (9,)
    assert_same_numbers(larger, expected, z, w)
    dense = few.merge(Statistics.zeros(C, D)).merge(others).merge(rest)
    assert dense.is_dense
    assert_same_numbers(dense, expected, z, w)


def test_more_classes_than_slots():
    z, y, w = sparse_problem()
    zeros = Statistics.zeros(C, D, capacity=4)
    with pytest.raises(ValueError, match="of 5 classes, but the statistics have 4 slots; set"):
        zeros.update(z, y)
    few, others = shard(4, HELD[:2], 0), shard(4, HELD[2:], 0)
    with pytest.raises(ValueError, match="of 5 classes, but the statistics have 4 slots; set"):
        few.merge(others)
    for s in (jax.jit(Statistics.update)(zeros, z, y), jax.jit(Statistics.merge)(few, others)):
        for x in numbers(s, z, w):
            assert np.issubdtype(x.dtype, np.integer) or np.all(np.isnan(x))
    assert np.isfinite(population.effective_rank(zeros.update(z, y, y != HELD[0])))


def check_devices():
    k = jax.device_count()
    z, y, w = sparse_problem(40 * k)
    y = np.sort(y)  # devices hold different classes
    expected = Statistics.zeros(C, D).update(z, y)
    mesh = jax.sharding.Mesh(jax.devices(), ("devices",))

    def collect(capacity, z, y):
        return Statistics.zeros(C, D, capacity=capacity).update(z, y).psum("devices")

    def mapped(capacity, check_vma):
        return jax.jit(
            jax.shard_map(
                functools.partial(collect, capacity),
                mesh=mesh,
                in_specs=P("devices"),
                out_specs=P(),
                check_vma=check_vma,
            )
        )(z, y)

    across = jax.pmap(functools.partial(collect, 6), axis_name="devices")
    of_pmap = jax.tree.map(lambda x: x[-1], across(z.reshape(k, 40, D), y.reshape(k, 40)))
    for got in (of_pmap, mapped(6, True), mapped(6, False)):
        assert_same_numbers(jax.tree.map(jnp.asarray, jax.device_get(got)), expected, z, w)
    overflown = jax.device_get(mapped(4, True))
    assert np.isnan(population.effective_rank(jax.tree.map(jnp.asarray, overflown)))


def test_psum_on_these_devices():
    check_devices()


@pytest.mark.slow
def test_psum_on_eight_devices():
    run_on_eight(check_devices)


def test_capacity_is_checked_and_at_most_the_number_of_classes():
    assert Statistics.zeros(3, 2, capacity=7).is_dense
    with pytest.raises(ValueError, match="capacity >= 1"):
        Statistics.zeros(3, 2, capacity=0)
    with pytest.raises(ValueError, match="must agree in classes and features"):
        Statistics.zeros(3, 2, capacity=2).merge(Statistics.zeros(2, 2))


@pytest.mark.parametrize("seed", range(5))
def test_slots_hold_each_class_once(seed):
    rng = np.random.default_rng(seed)
    classes, seen = jnp.full(8, 20, jnp.int32), set()
    for _ in range(3):
        y = rng.choice([2, 5, 7, 11, 13, 19, 20], 6).astype(np.int32)
        classes, fit = slots.insert(classes, y, 20)
        seen |= set(y[y < 20])
        assert fit and sorted(classes[: len(seen)]) == sorted(seen)
        assert np.all(classes[len(seen) :] == 20)
        slot = slots.slot_of(classes, y, 20)
        assert np.all((slot == 8) == (y == 20))
        np.testing.assert_array_equal(classes[slot[y < 20]], y[y < 20])
