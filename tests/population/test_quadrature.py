"""Stochastic trace estimates of prescribed spectra: values, brackets, calibrated errors."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infojax.population import joint, krylov, lanczos, quadrature

SIZE = 600
KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def few_leading(monkeypatch):
    """Samples most of the trace, as in large problems."""
    monkeypatch.setattr(krylov, "_MOST", 64)


def spectrum(name, size=SIZE):
    i = np.arange(1, size + 1)
    rng = np.random.default_rng(0)
    w = {
        "flat": 1 + 0.5 * np.cos(np.pi * i / size),
        "power law": i**-1.0,
        "steep": i**-2.0,
        # nine large eigenvalues and a bulk that holds a hundredth of the trace
        "nearly collapsed": np.where(i < 10, 1 + 0.1 * i, 1e-4 * np.exp(rng.normal(size=size))),
        "nearly null": np.where(i < 10, 1.0, 1e-8),
        "collapsed": np.where(i < 10, 1.0, 0.0),
    }[name]
    return w / w.sum()


def rotated(w):
    """Operator with eigenvalues w, rotated so that no coordinate is special."""
    rng = np.random.default_rng(1)
    mirrors = [v / np.linalg.norm(v) for v in rng.normal(size=(3, len(w)))]
    mirrors = [jnp.asarray(v, w.dtype)[None] for v in mirrors]

    def apply(x):
        for v in mirrors:
            x = x - 2 * jnp.sum(x * v, 1, keepdims=True) * v
        x = x * w[None]
        for v in reversed(mirrors):
            x = x - 2 * jnp.sum(x * v, 1, keepdims=True) * v
        return x

    return quadrature.Operator(apply, len(w), w.dtype, jnp.sum(w * w))


def entropy(x):
    return -x * jnp.log(jnp.where(x == 0, 1, jnp.abs(x)))


FUNCTION = lanczos.Function(entropy, jnp.zeros_like)


def exact(w):
    w = w[w > 0]
    return -np.sum(w * np.log(w))


@functools.partial(jax.jit, static_argnames=("max_probes", "controlled"))
def _estimate(w, rtol, key, max_probes, controlled):
    operator = rotated(w)
    if not controlled:
        operator = operator._replace(square=None)
    key_leading, key = jax.random.split(key)
    leading = krylov.leading(operator.apply, operator.size, operator.dtype, key_leading)
    return quadrature.trace(
        FUNCTION, operator, leading, key, lambda value: rtol * jnp.abs(value), max_probes
    )


def estimate(name, rtol, seed=0, *, max_probes=512, controlled=True, dtype=jnp.float32):
    w, rtol = jnp.asarray(spectrum(name), dtype), jnp.asarray(rtol, dtype)
    return _estimate(w, rtol, jax.random.key(seed), max_probes, controlled)


def coverage(name, keys, rtol):
    results = [estimate(name, rtol, seed) for seed in range(keys)]
    z = [(float(r.value) - exact(spectrum(name))) / float(r.error) for r in results]
    return np.mean(np.abs(z) <= 2), np.sqrt(np.mean(np.square(z)))


@pytest.mark.slow
@pytest.mark.parametrize("rtol", [1e-2, 2e-4])
@pytest.mark.parametrize("name", ["flat", "power law", "steep", "nearly collapsed"])
def test_errors_are_calibrated(name, rtol):
    """Two standard errors cover about 95 % of 200 keys, whether or not sampling stops early."""
    covered, _ = coverage(name, 200, rtol)
    assert covered >= 0.92  # 0.95 minus two binomial standard deviations


@pytest.mark.parametrize("name", ["flat", "power law"])
def test_errors_are_roughly_calibrated(name):
    covered, spread = coverage(name, 40, 1e-2)
    assert covered >= 0.85
    assert 0.6 < spread < 1.4


@pytest.mark.parametrize("name", ["flat", "power law", "steep", "nearly collapsed", "collapsed"])
def test_values(name):
    got = estimate(name, 1e-3)
    value = exact(spectrum(name))
    assert got.error <= 1e-3 * value and 0 < got.probes <= 512
    np.testing.assert_allclose(got.value, value, atol=4 * got.error)


def test_value_in_float64(x64):
    got = estimate("power law", 1e-4, 3, dtype=jnp.float64)
    assert got.value.dtype == jnp.float64
    np.testing.assert_allclose(got.value, exact(spectrum("power law")), atol=4 * got.error)


def test_tighter_tolerances_take_more_probes_up_to_the_budget():
    loose = estimate("power law", 1e-2)
    tight = estimate("power law", 2e-5)
    assert loose.probes == 64 < tight.probes <= 512
    assert tight.error < loose.error
    ended = estimate("power law", 1e-7, max_probes=100)
    assert ended.probes == 128 and ended.error > 1e-7 * ended.value


def test_known_square_reduces_the_error():
    with_square = estimate("flat", 0.0, max_probes=100)
    without = estimate("flat", 0.0, max_probes=100, controlled=False)
    assert with_square.error < 0.5 * without.error
    np.testing.assert_allclose(without.value, exact(spectrum("flat")), atol=3 * without.error)


@pytest.mark.parametrize("name", ["flat", "power law", "nearly collapsed"])
def test_gauss_and_radau_bracket_every_probe(name, x64):
    operator = rotated(jnp.asarray(spectrum(name)))
    v = jax.random.normal(jax.random.key(0), (8, SIZE), jnp.float64)
    v = v / jnp.linalg.norm(v, axis=1, keepdims=True)
    value, bound, slack, first, second = lanczos.rules(
        FUNCTION, operator.apply, v, lambda found: jnp.bool(True)
    )
    axes = np.asarray(operator.apply(jnp.eye(SIZE, dtype=jnp.float64)))
    values, vectors = np.linalg.eigh(axes)
    weights = (np.asarray(v) @ vectors) ** 2
    truth = weights @ np.asarray(entropy(jnp.abs(jnp.asarray(values))))
    assert np.all(np.abs(truth - value) <= bound + 1e-12)
    assert not np.any(slack)
    assert (
        abs(np.mean(truth - value)) <= 0.25 * np.mean(bound) + 1e-12
    )  # unbiased within the bracket
    np.testing.assert_allclose(first, weights @ values, rtol=1e-10)
    np.testing.assert_allclose(second, weights @ values**2, rtol=1e-10)


def test_deflated_part_is_exact():
    """At collapse, the leading vectors hold the whole trace: exact up to rounding."""
    got = estimate("collapsed", 1e-3)
    np.testing.assert_allclose(got.value, np.log(9), atol=1e-4)
    assert got.error < 3e-4 and got.probes == 64


@functools.partial(jax.jit, static_argnames="alpha")
def _estimated_entropy(w, key, alpha):
    return joint.estimated_entropy(rotated(w), alpha, 1e-3, jnp.float32(10), key, 512)


def test_largest_eigenvalue():
    got = _estimated_entropy(jnp.asarray(spectrum("power law"), jnp.float32), KEY, math.inf)
    np.testing.assert_allclose(got.value, -np.log(spectrum("power law")[0]), rtol=1e-5)
    assert got.error < 1e-3 and got.probes == 0


@pytest.mark.parametrize("name", ["flat", "power law"])
@pytest.mark.parametrize("alpha", [6.0, 15.0, 40.0])
def test_high_orders_do_not_underflow(name, alpha):
    w = spectrum(name)
    truth = -(np.log(np.sum((w / w.max()) ** alpha)) + alpha * np.log(w.max())) / (alpha - 1)
    got = _estimated_entropy(jnp.asarray(w, jnp.float32), KEY, alpha)
    assert 0 < got.error <= 1e-2
    assert abs(got.value - truth) <= 3 * got.error


@pytest.mark.parametrize("alpha", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("name", ["flat", "steep", "nearly null"])
def test_errors_at_low_orders_include_lost_eigenvalues(name, alpha):
    """The error covers eigenvalues lost in rounding, and is small where none are."""
    w = spectrum(name)
    truth = np.log(np.sum(w**alpha)) / (1 - alpha)
    got = _estimated_entropy(jnp.asarray(w, jnp.float32), KEY, alpha)
    assert abs(got.value - truth) <= 2 * got.error
    assert got.error <= (2 if name == "nearly null" else 2e-2)


def test_zero_matrix_has_zero_entropy():
    for alpha in (0.5, 0.8, 1.0, 1.3, 3.0, math.inf):
        got = _estimated_entropy(jnp.zeros(SIZE), KEY, alpha)
        assert got.value == 0 and np.isfinite(got.error), alpha


def test_nan_stops_sampling_and_propagates():
    got = _estimate(jnp.full(SIZE, jnp.nan), jnp.float32(0), jax.random.key(0), 512, True)
    assert np.isnan(got.value) and got.probes == 64
