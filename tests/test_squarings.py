"""Entropy by squarings: its error bound, its derivatives, and that no eigensolver is left."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import infojax
from infojax import losses, spectrum, squarings
from tests import reference

pytestmark = pytest.mark.usefixtures("x64")

APPROXIMATION = 1.2e-6  # nats, of the logarithm by a sum


def rows(rank, n=24, d=16, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d))


def with_spectrum(w, seed=0):
    v = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(w), len(w))))[0]
    return (v * w) @ v.T


SPECTRA = {
    "flat": np.ones(32),
    "one": np.array([1.0] + 31 * [0.0]),
    "two": np.array([1.0, 1.0] + 30 * [0.0]),
    "geometric": 0.5 ** np.arange(32),
    "power": 1 / np.arange(1, 65) ** 2,
    "exponential": np.random.default_rng(1).exponential(size=64),
    "single": np.ones(1),
}


def bound(k, dtype):
    """What the docstring promises beside rounding."""
    p = k / np.trace(k)
    resolution = 4 * np.linalg.norm(p) * 2.0 ** -squarings.num_terms(dtype)
    return APPROXIMATION + 0.4 * len(k) * resolution


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", SPECTRA)
def test_values_are_within_the_bound(name, dtype):
    k = with_spectrum(SPECTRA[name])
    expected = reference.entropy(k)
    got = float(jax.jit(squarings.product_entropy)(k.astype(dtype)))
    rounding = (1e-6 + 1e-7 * len(k)) * np.finfo(dtype).eps / np.finfo(np.float32).eps
    assert -bound(k, dtype) - rounding <= got - expected <= APPROXIMATION + rounding


def test_eigenvalues_at_the_resolution_cost_what_the_bound_says():
    """The largest loss of one eigenvalue is 0.395 r, at 0.6 r."""
    resolution = 4 * 2.0 ** -squarings.num_terms(np.float64)
    w = resolution * np.logspace(-3, 4, 200)
    p = np.stack([np.diag([1, x]) for x in w])
    lost = w * (-np.log(w) - squarings._minus_logarithm(jnp.asarray(p))[:, 1, 1])
    assert 0.39 * resolution < lost.max() < 0.4 * resolution
    assert 0.5 < w[np.argmax(lost)] / resolution < 0.7
    assert lost.min() > -APPROXIMATION * w.max()


def test_the_sum_is_the_logarithm_at_every_scale():
    x = np.logspace(-12, 0, 400)
    p = np.stack([np.diag([w, 0.0]) for w in x])  # not of unit trace: the logarithm alone
    got = np.asarray(squarings._minus_logarithm(jnp.asarray(p)))[:, 0, 0]
    np.testing.assert_allclose(got, -np.log(x), atol=1.2e-6)


@pytest.mark.parametrize(("rank", "n", "d"), [(16, 24, 16), (3, 24, 16), (1, 8, 4), (8, 8, 8)])
def test_gradients_agree_with_those_of_eigenvalues(rank, n, d):
    x = jnp.asarray(rows(rank, n, d))

    def entropy_of(entropy, x):
        return entropy(x @ x.T)

    got, expected = (
        jax.grad(functools.partial(entropy_of, of))(x)
        for of in (squarings.product_entropy, spectrum.product_entropy)
    )
    np.testing.assert_allclose(got, expected, atol=1e-5 * float(jnp.max(jnp.abs(x))) / len(x))


def test_float32_gradients():
    x = rows(16)
    exact = jax.grad(lambda x: spectrum.product_entropy(x @ x.T))(jnp.asarray(x))
    got = jax.grad(lambda x: squarings.product_entropy(x @ x.T))(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(got, exact, atol=1e-4 * float(jnp.max(jnp.abs(exact))))


@pytest.mark.parametrize("n", [314, 832])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_many_features_that_nearly_agree(n, noise):
    """Sizes at which the rounding of 1 + 1/(4n) would add up over n terms."""
    rng = np.random.default_rng(0)
    z = 1 + noise * rng.normal(size=(n, 16))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    of_rows = jax.jit(jax.value_and_grad(lambda z: squarings.product_entropy(z @ z.T)))
    (exact, slope), (value, got) = (of_rows(jnp.asarray(z, t)) for t in (np.float64, np.float32))
    np.testing.assert_allclose(value, exact, atol=2e-4)
    error = np.linalg.norm(np.asarray(got, np.float64) - slope)
    assert error < 0.05 * np.linalg.norm(slope) + 1e-3


def test_derivatives_by_differences():
    x = jnp.asarray(rows(5, 6, 5))
    check_grads(
        lambda x: squarings.product_entropy(x @ x.T), (x,), order=2, atol=1e-4, rtol=1e-4, eps=1e-4
    )


def test_zero_nan_scale_and_batches():
    k = with_spectrum(SPECTRA["power"])
    one = squarings.product_entropy(k)
    assert squarings.product_entropy(np.zeros((3, 3))) == 0
    assert np.isnan(squarings.product_entropy(np.full((3, 3), np.nan)))
    assert np.isnan(squarings.product_entropy(-np.eye(3)))
    for power in (-300, 300):
        np.testing.assert_array_equal(squarings.product_entropy(k * 2.0**power), one)
    batch = jnp.stack([jnp.asarray(k), jnp.eye(64), jnp.zeros((64, 64))])
    np.testing.assert_allclose(
        squarings.product_entropy(batch), [one, np.log(64), 0], atol=APPROXIMATION
    )
    np.testing.assert_array_equal(
        jax.vmap(squarings.product_entropy)(batch), squarings.product_entropy(batch)
    )
    zero = jax.grad(lambda x: squarings.product_entropy(x @ x.T))(jnp.zeros((3, 2)))
    np.testing.assert_array_equal(zero, 0)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_refused(dtype):
    with pytest.raises(ValueError, match=f"got {jnp.dtype(dtype)}: widen X before"):
        squarings.product_entropy(jnp.eye(2, dtype=dtype))
    z = jnp.eye(4, dtype=dtype)  # features are widened
    loss = losses.information_loss(z, z, 1.0, 0.0, entropy=squarings.product_entropy)
    np.testing.assert_allclose(loss, -np.log(4), rtol=5e-6)


def test_other_orders_are_refused():
    with pytest.raises(ValueError, match="order 1 only, got alpha = 2"):
        squarings.product_entropy(np.eye(2), 2.0)
    with pytest.raises(ValueError, match="order 1 only"):
        infojax.interplay(np.eye(2), np.eye(2), 0.5, entropy=squarings.product_entropy)


@pytest.mark.parametrize("wide", [False, True])
def test_losses_by_squarings(wide):
    rng = np.random.default_rng(3)
    z, v = (
        rng.normal(size=(40, 60 if wide else 5)),
        rng.normal(size=(4, 6))[rng.integers(4, size=40)],
    )
    args = (jnp.asarray(z), jnp.asarray(v), 0.7, 0.3)
    loss = functools.partial(losses.information_loss, entropy=squarings.product_entropy)
    np.testing.assert_allclose(loss(*args), reference.information_loss(*args), atol=5e-6)
    got = jax.grad(loss, (0, 1))(*args)
    expected = jax.grad(losses.information_loss, (0, 1))(*args)
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(g, e, atol=2e-5 * float(jnp.max(jnp.abs(e))))


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_no_eigensolver_is_left(platform):
    x = jax.ShapeDtypeStruct((16, 8), jnp.float32)

    def lowered(entropy):
        loss = functools.partial(losses.information_loss, entropy=entropy)
        step = jax.jit(jax.grad(lambda z, v: loss(z, v, 1.0, 1.0)))
        return step.trace(x, x).lower(lowering_platforms=(platform,)).as_text().lower()

    for word in ("eigh", "syev", "sytrd", "tridiagonal"):
        assert word not in lowered(squarings.product_entropy)
    assert any(word in lowered(spectrum.product_entropy) for word in ("eigh", "syev"))
