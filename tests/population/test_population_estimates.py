"""Estimated interplay of whole data sets: values, calibrated errors, routes."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import infojax
from infojax import collapse, population, spectrum
from infojax.population import Statistics, estimates, features, krylov
from tests import reference
from tests.population.populations import collected, problem, values


@pytest.fixture
def small_limits(monkeypatch):
    """Sends small problems down the routes for large ones.

    The limits are read when a function is traced, so every test jits a function of its own rather
    than reuse another's compiled function.
    """
    monkeypatch.setattr(estimates, "DENSE", 0)
    return monkeypatch


@pytest.mark.parametrize("alpha", [0.7, 1.0, 3.0, math.inf])
def test_estimates_lie_within_their_errors(alpha, small_limits):
    z, y, w = problem(2000, 20, 12)
    exact = infojax.sample_interplay(z, y, w, alpha)
    s = collected(z, y, 12)
    got = jax.jit(lambda s, w, key: population.interplay(s, w, alpha, key=key))(
        s, w, jax.random.key(1)
    )
    error = got.standard_error
    assert got.route == "lanczos" and (got.probes > 0) == (alpha != math.inf)
    assert 0 < error.mutual_information <= 1e-3 * exact.mutual_information
    relative = error.joint_entropy / got.mutual_information
    np.testing.assert_allclose(error.mir / got.mir, relative, rtol=1e-6)  # two roundings
    assert error.entropy_z == error.entropy_v == error.hdr == 0
    np.testing.assert_allclose(got.joint_entropy, exact.joint_entropy, atol=3 * error.joint_entropy)
    np.testing.assert_allclose(got.mir, exact.mir, atol=3 * error.mir)


def features_of_spectrum(kind, n=900, d=24, c=16):
    """Features with a spectrum of some kind, and a head whose rows share a direction."""
    rng = np.random.default_rng(0)
    y, means = rng.integers(0, c, n), rng.normal(size=(c, d))
    noise = rng.normal(size=(n, d))
    z = {
        "flat": lambda: 0.3 * means[y] + noise,
        "power law": lambda: (means[y] + noise) / np.sqrt(1 + np.arange(d)),
        "nearly collapsed": lambda: means[y] + 0.1 * noise / np.sqrt(1 + np.arange(d)),
    }[kind]()
    w = rng.normal(size=(c, d)) + 2 * rng.normal(size=(1, d))
    return z.astype(np.float32), y, w.astype(np.float32)


def errors_over_their_standard(kind, keys, monkeypatch):
    """Errors of the mutual information over its standard error, for several keys."""
    monkeypatch.setattr(krylov, "_MOST", 32)  # sample most of the trace, as in large problems
    z, y, w = features_of_spectrum(kind)
    exact = reference.sample_interplay(z, y, w)[3]
    s = collected(z, y, len(w))

    def estimate(key):
        got = population.interplay(s, w, rtol=1e-2, key=key)
        return got.mutual_information, got.standard_error.mutual_information

    found, error = jax.jit(lambda keys: jax.lax.map(estimate, keys))(
        jax.random.split(jax.random.key(2), keys)
    )
    assert np.all(error > 1e-5)  # not rounding
    return (np.asarray(found) - exact) / np.asarray(error)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flat", "power law", "nearly collapsed"])
def test_standard_errors_are_calibrated(kind, small_limits):
    """Two standard errors cover about 95 % of 200 keys."""
    z = errors_over_their_standard(kind, 200, small_limits)
    assert np.mean(np.abs(z) <= 2) >= 0.92  # 0.95 minus two binomial standard deviations
    assert 0.5 < np.sqrt(np.mean(z**2)) < 1.2 and abs(np.mean(z)) < 0.3


def test_standard_errors_are_roughly_calibrated(small_limits):
    z = errors_over_their_standard("flat", 30, small_limits)
    assert np.mean(np.abs(z) <= 2) >= 0.85
    assert 0.5 < np.sqrt(np.mean(z**2)) < 1.4


def test_estimate_under_jit_and_its_tolerance(small_limits):
    z, y, w = problem(2000, 20, 12)
    s = collected(z, y, 12)
    run = jax.jit(functools.partial(population.interplay, rtol=1e-5, max_probes=60))
    got = run(s, w, key=jax.random.key(0))
    assert got.route == "lanczos" and got.probes == 64  # the budget, rounded up to whole batches
    assert got.standard_error.mir > 1e-5 * got.mir
    with pytest.raises(ValueError, match="max_probes >= 1"):
        population.interplay(s, w, max_probes=0)
    assert population.interplay(s, w, rtol=0.0).route == "moments"


def test_estimate_at_collapse(small_limits):
    etf = collapse.simplex_etf(12, 20)
    y = np.tile(np.arange(12), 50)
    got = jax.jit(lambda s: population.interplay(s, etf))(collected(etf[y], y, 12))
    np.testing.assert_allclose(got.mir, collapse.mir_at_collapse(12), rtol=1e-4)
    assert got.standard_error.mir < 1e-3


def test_estimate_from_features_without_moments(small_limits):
    z, y, w = problem(600, 20, 12)
    exact = infojax.sample_interplay(z, y, w)
    got = jax.jit(lambda *zyw: population.interplay_of_features(*zyw))(z, y, w)
    assert got.route == "lanczos"
    np.testing.assert_allclose(got.mir, exact.mir, atol=3 * got.standard_error.mir)
    small_limits.setattr(features, "_COPIES", 2**40)
    run = jax.jit(functools.partial(population.interplay_of_features, rtol=3e-3))
    got = run(z, y, w)
    assert got.route == "lanczos" and 0 < got.standard_error.mir <= 3e-3 * got.mir
    np.testing.assert_allclose(got.mir, exact.mir, atol=3 * got.standard_error.mir)
    y[4] = 12
    bad = run(z, y, w)
    assert all(np.isnan(x) for x in values(bad))


def test_arguments_are_checked_on_every_route(small_limits):
    z, y, w = problem(600, 20, 12)
    small_limits.setattr(features, "_COPIES", 2**40)
    for changed, words in (
        ({"w": w[:, :19]}, "same number of columns"),
        ({"y": y[:-1]}, "y must be integer class labels of shape"),
        ({"y": y.astype(np.float32)}, "y must be integer class labels"),
        ({"rtol": -1.0}, "rtol >= 0"),
        ({"max_probes": 0}, "max_probes >= 1"),
        ({"max_probes": 2.5}, "max_probes must be a Python integer"),
    ):
        with pytest.raises(ValueError, match=words):
            population.interplay_of_features(**({"z": z, "y": y, "w": w} | changed))


@pytest.mark.parametrize("route", ["dense", "moments", "samples"])
def test_nan_makes_every_number_nan(route, small_limits):
    z, y, w = problem(300, 20, 12)
    small_limits.setattr(estimates, "DENSE", 5000 if route == "dense" else 0)
    small_limits.setattr(features, "_COPIES", 2**40 if route == "samples" else 6)
    z[3, 2] = np.nan
    got = jax.jit(lambda *zyw: population.interplay_of_features(*zyw))(z, y, w)
    floats = [x for x in jax.tree.leaves(got) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert len(floats) == 12 and all(np.isnan(x) for x in floats)


def test_an_estimate_refuses_to_be_differentiated(small_limits):
    z, y, w = problem(600, 20, 12)
    s = collected(z, y, 12)
    with pytest.raises(ValueError, match="an estimate has no derivative; set rtol=0"):
        jax.grad(lambda w: population.interplay(s, w).mir)(w)
    exact = jax.grad(lambda w: population.interplay(s, w, rtol=0.0).mir)(w)
    assert np.max(np.abs(exact)) > 1e-3


def test_sizes_beyond_lapack():
    s = jax.eval_shape(lambda: Statistics.zeros(200, 200, jnp.float32))
    w = jax.ShapeDtypeStruct((200, 200), jnp.float32)
    exact = functools.partial(population.interplay, rtol=0.0)
    with pytest.raises(ValueError, match="limited to 32,766 rows, but d min"):
        jax.eval_shape(exact, s, w)
    assert jax.eval_shape(functools.partial(exact, alpha=2.0), s, w).route == "closed form"
    assert jax.eval_shape(population.interplay, s, w).route == "lanczos"


def test_order_two_needs_no_eigenvalues(monkeypatch):
    z, y, w = problem(300, 9, 6)
    s = collected(z, y, 6)
    monkeypatch.setattr(spectrum, "eigenvalues", None)
    got = population.interplay(s, w, 2.0)
    population.class_interplay(s, w, 2.0)
    np.testing.assert_allclose(values(got), reference.sample_interplay(z, y, w, 2.0), rtol=1e-5)
