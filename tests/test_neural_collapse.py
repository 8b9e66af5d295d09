"""NC1 to NC4: against float64 NumPy from the definitions, at collapse, and on invalid input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infojax import collapse
from infojax.population import Statistics


def defined(z, y, w, b):
    """The fields of `NeuralCollapse`, computed from the samples."""
    classes = np.unique(y)
    c = len(classes)
    means = np.stack([z[y == k].mean(0) for k in classes])
    m = means - z.mean(0)
    within = sum(
        (z[y == k] - z[y == k].mean(0)).T @ (z[y == k] - z[y == k].mean(0)) for k in classes
    )
    within, between, w = within / len(z), m.T @ m / c, w[classes]

    def norms(x):
        return np.std(np.linalg.norm(x, axis=1)) / np.mean(np.linalg.norm(x, axis=1))

    def angles(x):
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        return np.abs(x @ x.T + 1 / (c - 1))[~np.eye(c, dtype=bool)].mean()

    return (
        np.trace(within @ np.linalg.pinv(between, rcond=1e-10)) / c,
        np.trace(within) / np.trace(between),
        norms(m),
        norms(w),
        angles(m),
        angles(w),
        np.sum((w / np.linalg.norm(w) - m / np.linalg.norm(m)) ** 2),
        np.mean(np.argmax(means @ w.T + b[classes], 1) != np.arange(c)),
    )


def problem(n, d, c, offset=0.0, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, c, n)
    means = rng.normal(size=(c, d))
    z = offset + means[y] + noise * rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -0.5
    return z, y, means + 0.8 * rng.normal(size=(c, d)), 0.3 * rng.normal(size=c)


def measured(z, y, w, b, dtype=jnp.float32):
    statistics = Statistics.zeros(*w.shape, dtype).update(jnp.asarray(z, dtype), jnp.asarray(y))
    w, b = jnp.asarray(w, dtype), jnp.asarray(b, dtype)
    return jax.jit(collapse.neural_collapse)(statistics, w, b)


@pytest.mark.parametrize(("n", "d", "c"), [(300, 8, 5), (2000, 6, 20), (40, 30, 7)])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_values_match_definitions(n, d, c, offset):
    """Fewer and more classes than dimensions; a common offset much larger than the class means."""
    z, y, w, b = problem(n, d, c, offset)
    z = np.asarray(np.asarray(z, np.float32), np.float64)
    got = measured(z, y, w, b)
    np.testing.assert_allclose(got, defined(z, y, w, b), rtol=2e-4, atol=2e-6)
    assert got.nc3 > 0.1


def test_values_in_float64(x64):
    z, y, w, b = problem(300, 8, 5, 30.0)
    got = measured(z, y, w, b, jnp.float64)
    np.testing.assert_allclose(got, defined(z, y, w, b), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("noise", [1e-2, 1e-4])
def test_small_variability_keeps_its_digits(noise):
    """At a thousandth of the offset, `Σ z zᵀ - Σ_c n_c μ_c μ_cᵀ` would have no digits left."""
    z, y, w, b = problem(400, 8, 5, 10.0, noise)
    z = np.asarray(np.asarray(z, np.float32), np.float64)
    got, expected = measured(z, y, w, b), defined(z, y, w, b)
    np.testing.assert_allclose(got.nc1, expected[0], rtol=1e-2)
    np.testing.assert_allclose(got.nc1_quotient, expected[1], rtol=1e-2)


@pytest.mark.parametrize(("c", "d"), [(2, 3), (4, 3), (10, 16)])
def test_all_fields_vanish_at_collapse(c, d):
    etf = np.asarray(collapse.simplex_etf(c, d))
    y = np.tile(np.arange(c), 20)
    got = measured(7 * etf[y] + 2, y, 0.1 * etf, np.zeros(c))
    np.testing.assert_allclose(got, 0, atol=3e-6)


def test_each_field_detects_its_own_deviation():
    etf = np.asarray(collapse.simplex_etf(5, 8))
    y, zero = np.tile(np.arange(5), 40), np.zeros(5)
    rng = np.random.default_rng(0)
    noisy = measured(etf[y] + 0.1 * rng.normal(size=(200, 8)), y, etf, zero)
    assert noisy.nc1 > 1e-3 and noisy.nc2_angles_head < 1e-6
    unequal = measured((etf * np.arange(1, 6)[:, None])[y], y, etf, zero)
    assert unequal.nc2_norms_means > 0.1 and unequal.nc2_norms_head < 1e-6
    turned = measured(etf[y], y, etf @ np.linalg.qr(rng.normal(size=(8, 8)))[0], zero)
    assert turned.nc3 > 0.1 and turned.nc2_angles_head < 1e-6
    swapped = measured(etf[y], y, etf[[1, 0, 2, 3, 4]], zero)
    np.testing.assert_allclose(swapped.nc4, 0.4, rtol=1e-6)


def test_agreement_with_the_nearest_mean_matches_definition():
    z, y, w, b = problem(500, 8, 5, 20.0)
    z = np.asarray(np.asarray(z, np.float32), np.float64)
    b = b - w @ np.full(8, 20.0)
    means = np.stack([z[y == k].mean(0) for k in range(5)])
    nearest = np.argmin(np.linalg.norm(z[:, None] - means[None], axis=2), 1)
    expected = np.mean(np.argmax(z @ w.T + b, 1) == nearest)
    statistics = Statistics.zeros(5, 8).update(jnp.asarray(z, jnp.float32), jnp.asarray(y))
    got = collapse.nearest_class_mean_agreement(
        jnp.asarray(z, jnp.float32),
        statistics,
        jnp.asarray(w, jnp.float32),
        jnp.asarray(b, jnp.float32),
    )
    assert 0.2 < expected < 0.95
    np.testing.assert_allclose(got, expected, atol=0.003)  # a sample on a boundary


def test_classes_without_samples_are_omitted():
    z, y, w, b = problem(300, 8, 6)
    y = np.where(y == 2, 3, y)
    got = measured(z, y, w, b)
    expected = list(defined(z, y, w, b))
    expected[-1] = np.nan  # the head may assign a mean to the class without samples
    np.testing.assert_allclose(got[:-1], expected[:-1], rtol=1e-4)


def test_one_class_only():
    z, _, w, b = problem(50, 4, 3)
    got = measured(z, np.ones(50, int), w, b)
    assert got.nc1 == np.inf and got.nc1_quotient == np.inf
    assert all(np.isfinite(x) for x in got[2:])


def test_equal_means_count_as_equal():
    """All features are equal: centring leaves only rounding errors, which must not form a ratio."""
    got = measured(np.full((60, 4), 0.3), np.arange(60) % 3, *problem(9, 4, 3)[2:])
    assert got.nc1 in (0, np.inf) and got.nc1_quotient in (0, np.inf)
    assert got.nc2_norms_means == 0 and np.isfinite(got.nc3)


def test_zero_head_row_is_finite():
    z, y, w, b = problem(300, 8, 5)
    w[1] = 0
    assert all(np.isfinite(x) for x in measured(z, y, w, b))


def test_nan_propagates_to_every_field():
    z, y, w, b = problem(300, 8, 5)
    w_bad = w.copy()
    w_bad[2, 1] = np.nan
    z_bad = z.copy()
    z_bad[7, 3] = np.nan
    for got in (measured(z_bad, y, w, b), measured(z, y, w_bad, b)):
        assert all(np.isnan(x) for x in got)


def test_no_samples_give_nan():
    got = collapse.neural_collapse(Statistics.zeros(3, 4), jnp.ones((3, 4)))
    assert all(np.isnan(x) for x in got)


def test_mismatched_arguments_are_rejected():
    statistics = Statistics.zeros(3, 4).update(jnp.ones((2, 4)), jnp.array([0, 1]))
    with pytest.raises(ValueError, match=r"w must have shape \(3, 4\)"):
        collapse.neural_collapse(statistics, jnp.ones((4, 4)))
    with pytest.raises(ValueError, match=r"b must have shape \(3,\)"):
        collapse.neural_collapse(statistics, jnp.ones((3, 4)), jnp.ones(4))


def test_agreement_is_nan_without_means():
    z, y, w, _ = problem(50, 8, 5, 0.0)
    z, w = jnp.asarray(z, jnp.float32), jnp.asarray(w, jnp.float32)
    empty = Statistics.zeros(5, 8)
    spoilt = empty.update(z.at[0, 0].set(jnp.nan), jnp.asarray(y))
    for statistics in (empty, spoilt):
        assert np.isnan(collapse.nearest_class_mean_agreement(z, statistics, w))
