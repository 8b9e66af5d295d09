"""Samples sharded over a mesh: the numbers of one device, and no gathering of the features."""

import contextlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

from infojax import collapse, population
from infojax.population import Statistics, estimates
from tests.population.populations import problem

C, D = 5, 7


def mesh_of(kind):
    return jax.make_mesh((2,), ("batch",), axis_types=(kind,))


def sharded(mesh, *arrays):
    return [jax.device_put(x, NamedSharding(mesh, P("batch"))) for x in arrays]


def numbers(s, z, y, w, mask):
    s = s.merge(s.update(z, y, mask))
    return (
        population.interplay(s, w),
        population.class_interplay(s, w),
        population.within_class_entropies(s),
        population.class_mean_entropy(s),
        population.effective_rank(s),
        population.interplay_of_features(z, y, w, mask=mask),
        collapse.neural_collapse(s, w, jnp.zeros(C)),
        collapse.nearest_class_mean_agreement(z, s, w),
        (s.means, s.mean, s.centred_means, s.scatter, s.sums, s.moments),
    )


def arguments():
    z, y, w = problem(200)
    return z, y.astype(np.int32), jnp.asarray(w), np.arange(200) % 3 > 0


@pytest.mark.parametrize(
    "kind", [AxisType.Explicit, pytest.param(AxisType.Auto, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("with_mesh", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("jit", [pytest.param(False, marks=pytest.mark.slow), True])
def test_numbers_of_one_device(kind, with_mesh, jit):
    z, y, w, mask = arguments()
    zeros, mesh = Statistics.zeros(C, D), mesh_of(kind)
    expected = numbers(zeros, z, y, w, mask)
    function = jax.jit(numbers) if jit else numbers
    zs, ys, masks = sharded(mesh, z, y, mask)
    with jax.set_mesh(mesh) if with_mesh else contextlib.nullcontext():
        found = [function(zeros, zs, ys, w, masks), function(zeros, zs, jnp.asarray(y), w, mask)]
    for got in found:
        assert all(x.sharding.is_fully_replicated for x in jax.tree.leaves(got))
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("capacity", [None, 4])
@pytest.mark.parametrize("with_mesh", [False, True])
def test_update_does_not_gather_the_features(with_mesh, capacity):
    z, y, _, _ = arguments()
    y = np.minimum(y, 3)
    mesh, zeros = mesh_of(AxisType.Explicit), Statistics.zeros(C, D, capacity=capacity)
    with jax.set_mesh(mesh) if with_mesh else contextlib.nullcontext():
        zs, ys = sharded(mesh, z, y)
        compiled = jax.jit(Statistics.update).lower(zeros, zs, ys).compile()
        got = compiled(zeros, zs, ys)
        eager = zeros.update(zs, ys)
    text = compiled.as_text()
    assert not re.search("all-gather|all-to-all|collective-permute", text)
    assert "all-reduce" in text and "f32[100,7]" in text and "f32[200,7]" not in text
    expected = zeros.update(z, y)
    for found in (got, eager):
        np.testing.assert_array_equal(found.counts, expected.counts)
        np.testing.assert_allclose(found.moments, expected.moments, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.scatter, expected.scatter, rtol=1e-5, atol=1e-4)


def test_leading_axes_on_a_mesh():
    z, y, _, mask = arguments()
    shaped = z.reshape(20, 10, D), y.reshape(20, 10), mask.reshape(20, 10)
    got = Statistics.zeros(C, D).update(*sharded(mesh_of(AxisType.Explicit), *shaped))
    expected = Statistics.zeros(C, D).update(z, y, mask)
    np.testing.assert_allclose(got.moments, expected.moments, rtol=1e-5, atol=1e-5)


def test_a_second_mesh_axis():
    mesh = jax.make_mesh((1, 2), ("model", "batch"))
    z, y, _, mask = arguments()
    z, y, mask = sharded(mesh, z, y, mask)
    got = Statistics.zeros(C, D).update(z, y, mask)
    expected = Statistics.zeros(C, D).update(*(np.asarray(x) for x in (z, y, mask)))
    np.testing.assert_allclose(got.moments, expected.moments, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("memory", [pytest.param(2**31, marks=pytest.mark.slow), 270_000])
def test_estimates_on_a_mesh(memory, monkeypatch):
    monkeypatch.setattr(estimates, "DENSE", 0)
    z, y, w, _ = arguments()
    run = jax.jit(lambda *zyw: population.interplay_of_features(*zyw, rtol=1e-2, memory=memory))
    expected = run(z, y, w)
    got = run(*sharded(mesh_of(AxisType.Explicit), z, y), w)
    assert got.route == "lanczos"
    np.testing.assert_allclose(got.mir, expected.mir, atol=4 * expected.standard_error.mir)


def test_labels_out_of_range_on_a_mesh():
    z, y, w, mask = arguments()
    y[3], mask[3] = -1, True
    zs, ys = sharded(mesh_of(AxisType.Explicit), z, y)
    with pytest.raises(ValueError, match="labels"):
        Statistics.zeros(C, D).update(zs, ys)
    s = jax.jit(Statistics.update)(Statistics.zeros(C, D), zs, ys)
    assert np.isnan(population.interplay(s, w).mir)
