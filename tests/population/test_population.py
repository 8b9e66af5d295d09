"""Exact interplay of whole data sets, against the definitions in float64 NumPy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import infojax
from infojax import collapse, population
from tests import reference
from tests.population.populations import collected, problem, values


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.3, 2.0, 3.0, math.inf])
@pytest.mark.parametrize(("n", "d", "c"), [(400, 7, 5), (300, 4, 9), (6, 7, 5)])
def test_interplay_equals_the_definition(n, d, c, alpha):
    z, y, w = problem(n, d, c)
    expected = reference.sample_interplay(z, y, w, alpha)
    got = population.interplay(collected(z, y, c), w, alpha)
    assert got.route == ("closed form" if alpha == 2 else "moments")
    assert all(e == 0 for e in got.standard_error) and got.probes == 0
    tolerance = 1e-3 if alpha < 1 and n < d * c else 2e-5  # null eigenvalues under a steep power
    np.testing.assert_allclose(values(got), expected, rtol=tolerance, atol=1e-5)
    got = population.interplay_of_features(z, y, w, alpha)
    assert got.route == ("gram" if n < 10 else "moments")
    np.testing.assert_allclose(values(got), expected, rtol=tolerance, atol=1e-5)


def test_interplay_in_float64_under_jit(x64):
    z, y, w = problem()
    w = np.asarray(w, np.float64)
    got = jax.jit(population.interplay)(collected(z, y, 5, jnp.float64), w)
    assert got.route == "moments"
    np.testing.assert_allclose(values(got), reference.sample_interplay(z, y, w), rtol=1e-12)


def test_class_interplay_equals_the_definition():
    z, y, w = problem()
    got = population.class_interplay(collected(z, y, 5), w)
    np.testing.assert_allclose(got, reference.class_interplay(z, y, w), rtol=2e-5)
    y = np.where(y == 2, 1, y)  # a class without samples
    got = population.class_interplay(collected(z, y, 5), w)
    np.testing.assert_allclose(got, reference.class_interplay(z, y, w), rtol=2e-5)


def test_values_at_collapse():
    etf = collapse.simplex_etf(6, 9)
    y = np.tile(np.arange(6), 50)
    s = collected(4 * etf[y], y, 6)
    for got in (population.interplay(s, etf), population.class_interplay(s, etf)):
        np.testing.assert_allclose(got.mir, collapse.mir_at_collapse(6), rtol=1e-5)
        np.testing.assert_allclose(got.hdr, 0, atol=1e-5)
    np.testing.assert_allclose(population.effective_rank(s), 5, rtol=1e-5)
    np.testing.assert_allclose(population.within_class_entropies(s), 0, atol=1e-4)


def test_entropies_within_and_between_classes():
    z, y, _ = problem()
    y = np.where(y == 3, 0, y)
    s = collected(z, y, 5)
    for alpha in (1.0, 2.0):
        expected = [reference.entropy(reference.gram(z[y == k]), alpha) for k in (0, 1, 2, 4)]
        got = population.within_class_entropies(s, alpha)
        np.testing.assert_allclose(got, np.insert(expected, 3, 0.0), rtol=1e-5, atol=1e-6)
        means = np.stack([z[y == k].mean(0) for k in (0, 1, 2, 4)])
        expected = reference.entropy(reference.gram(means), alpha)
        np.testing.assert_allclose(population.class_mean_entropy(s, alpha), expected, rtol=1e-5)
    expected = np.exp(reference.entropy(reference.gram(z)))
    np.testing.assert_allclose(population.effective_rank(s), expected, rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 3.0, math.inf])
def test_degenerate_data_gives_finite_numbers(alpha):
    z, y, w = problem()
    zero_rows, zero_head = z.copy(), w.copy()
    zero_rows[::3], zero_head[1] = 0, 0
    cases = {
        "one class": (z, np.zeros_like(y), w[:1]),
        "all samples in one class": (z, np.full_like(y, 3), w),
        "zero feature rows": (zero_rows, y, w),
        "zero head row": (z, y, zero_head),
        "one sample": (z[:1], y[:1], w),
        "no feature direction": (np.zeros_like(z), y, w),
        "no head direction": (z, y, np.zeros_like(w)),
    }
    for name, (z, y, w) in cases.items():
        s = collected(z, y, len(w))
        got = (population.interplay(s, w, alpha), population.class_interplay(s, w, alpha))
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(got)), name
        expected = infojax.sample_interplay(z, y, w, alpha)
        atol = 2e-3 if alpha < 1 else 2e-5  # rounding errors differ
        np.testing.assert_allclose(values(got[0]), expected, rtol=1e-4, atol=atol, err_msg=name)


def test_equal_class_means_share_nothing():
    z, y, w = np.tile(problem()[0][:1], (600, 1)), np.arange(600) % 5, problem()[2]
    got = population.class_interplay(collected(z, y, 5), w)
    assert got.mir == 0 and got.entropy_z == 0 and got.entropy_v > 1


def test_gradient_by_the_head_equals_the_in_memory_form():
    z, y, w = problem()
    s = collected(z, y, 5)
    got = jax.grad(lambda w: population.interplay(s, w).mir)(w)
    expected = jax.grad(lambda w: infojax.sample_interplay(z, y, w).mir)(w)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert np.max(np.abs(got)) > 1e-3


def test_rank_bound_bounds_the_least_squares_error():
    rng = np.random.default_rng(0)
    for r1, r2, shared in [(6, 4, 0), (6, 4, 4), (3, 5, 1), (5, 5, 5)]:
        z1 = rng.normal(size=(40, r1)) @ rng.normal(size=(r1, 8))
        inside = z1[:, :shared] if shared else np.zeros((40, 0))
        z2 = np.concatenate([inside, rng.normal(size=(40, r2 - shared))], 1)
        basis = np.linalg.svd(z1, full_matrices=False)[0][:, :r1]
        targets = basis @ (lambda h: h / np.linalg.norm(h, axis=0))(rng.normal(size=(r1, 4000)))
        residual = targets - z2 @ np.linalg.lstsq(z2, targets, rcond=None)[0]
        error = np.mean(np.sum(residual**2, 0))
        bound = float(population.rank_bound(jnp.array(float(r1)), jnp.array(float(r2))))
        np.testing.assert_allclose(bound, max(0, 1 - r2 / r1), rtol=1e-6)
        assert error >= bound - 0.02
        if shared == min(r1, r2):  # attained if the columns of Z2 lie in the span of Z1
            np.testing.assert_allclose(error, bound, atol=0.02)
