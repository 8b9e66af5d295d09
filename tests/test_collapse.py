"""Neural collapse as an exact oracle: values and derivatives, there and at other ties."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infojax import (
    class_interplay,
    collapse,
    feature_entropy,
    gram,
    losses,
    matrix_entropy,
    mir,
    sample_interplay,
)
from tests import reference

SMOOTH = (1, 2, 0.7, 1.0001, 1.3, 3.5)  # orders differentiable even at repeated eigenvalues


@pytest.mark.parametrize(("c", "d"), [(2, 1), (2, 4), (3, None), (10, 9), (10, 30), (100, None)])
def test_simplex_etf_has_its_inner_products(c, d):
    rows = np.asarray(collapse.simplex_etf(c, d))
    assert rows.shape == (c, c - 1 if d is None else d)
    expected = (np.eye(c) * c - 1) / (c - 1)
    np.testing.assert_allclose(rows @ rows.T, expected, atol=1e-6)
    np.testing.assert_allclose(rows.sum(0), 0, atol=1e-5)


def test_simplex_etf_is_exact_in_float64(x64):
    rows = np.asarray(collapse.simplex_etf(50, 60))
    np.testing.assert_allclose(rows @ rows.T, (np.eye(50) * 50 - 1) / 49, atol=1e-15)


@pytest.mark.parametrize("arguments", [(1,), (0,), (4, 2)])
def test_simplex_etf_rejects_too_few_classes_or_dimensions(arguments):
    with pytest.raises(ValueError, match="simplex ETF needs c >= 2 and d >= c - 1"):
        collapse.simplex_etf(*arguments)


@pytest.mark.parametrize("f", [collapse.simplex_etf, collapse.mir_at_collapse])
@pytest.mark.parametrize("c", [3.5, 4.0, "4"])
def test_number_of_classes_must_be_an_integer(f, c):
    with pytest.raises(ValueError, match="c must be a Python integer"):
        f(c)


@pytest.mark.parametrize("c", [3, 4, 10, 57])
def test_mir_at_collapse_follows_from_the_definition(c):
    """Gram matrix of the frame, squared entrywise, in float64."""
    k = (np.eye(c) * c - 1) / (c - 1)
    np.testing.assert_allclose(collapse.mir_at_collapse(c), reference.mir(k, k), rtol=1e-12)


def test_mir_at_collapse_of_two_classes_and_fewer():
    assert collapse.mir_at_collapse(2) == 0
    with pytest.raises(ValueError, match="at least 2 classes, got c = 1"):
        collapse.mir_at_collapse(1)


@pytest.mark.parametrize("c", [3, 10, 1000])
def test_mir_of_the_frame(c):
    k = gram(collapse.simplex_etf(c))
    ratio, entropy = jax.jit(lambda k: (mir(k, k), matrix_entropy(k)))(k)
    np.testing.assert_allclose(ratio, collapse.mir_at_collapse(c), rtol=1e-5)
    np.testing.assert_allclose(entropy, math.log(c - 1), rtol=1e-5)


@functools.cache
def at_collapse(c, d, repeats):
    """Features and head on a randomly rotated frame, with labels in random order."""
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.normal(size=(d, d)))[0]
    etf = reference.unit_rows(np.asarray(collapse.simplex_etf(c, d))) @ q
    y = rng.permutation(np.tile(np.arange(c), repeats))
    return 7 * etf[y], y, etf


@pytest.mark.parametrize(("c", "d", "repeats"), [(4, 6, 2), (4, 6, 30), (7, 6, 12)])
def test_interplay_at_collapse(c, d, repeats):
    """Covers the n x n route and both kinds of class moments."""
    z, y, w = at_collapse(c, d, repeats)
    z, w = jnp.asarray(z, jnp.float32), jnp.asarray(w, jnp.float32)
    found = [jax.jit(sample_interplay)(z, y, w)]
    if repeats == 12:
        found.append(jax.jit(class_interplay)(z + 2, y, w))
    for got in found:
        np.testing.assert_allclose(got.entropy_z, math.log(c - 1), rtol=1e-5)
        np.testing.assert_allclose(got.mir, collapse.mir_at_collapse(c), rtol=1e-5)
        np.testing.assert_allclose(got.hdr, 0, atol=1e-5)


def test_two_classes_at_collapse():
    """Entropies are zero, so the ratios are zero by definition, with finite derivatives."""
    z, y, w = (jnp.asarray(a, jnp.float32) if a.ndim == 2 else a for a in at_collapse(2, 5, 10))
    for f in (sample_interplay, class_interplay):
        got = jax.jit(f)(z, y, w)
        np.testing.assert_allclose(got[:4], 0, atol=2e-5)
        assert got.mir == 0 and got.hdr == 0
    gradient = jax.jit(jax.grad(lambda z, w: sum(sample_interplay(z, y, w)), (0, 1)))(z, w)
    assert all(jnp.all(jnp.isfinite(g)) for g in gradient)
    off = jax.jit(sample_interplay)(z.at[0, 0].add(3.0), y, w)
    assert off.entropy_z > 0.01  # the features no longer lie on one line


MEASURES = {
    "mir": (lambda z, y, w: sample_interplay(z, y, w).mir, 4),
    "hdr": (lambda z, y, w: sample_interplay(z, y, w).hdr, 5),
    "class mir": (lambda z, y, w: class_interplay(z, y, w).mir, 4),
    "loss": (lambda z, y, w: losses.information_loss(z, w[y], 0.7, 0.3), None),
}


def defined(name, z, y, w):
    if name == "loss":
        return reference.information_loss(z, w[y], 0.7, 0.3)
    f = reference.class_interplay if name == "class mir" else reference.sample_interplay
    return f(z, y, w)[MEASURES[name][1]]


def broken_symmetry(z, y, w):
    """Unbalanced classes and two equal head rows: no longer an extremum, but with ties and zeros.

    Equal entropies would put the measures at a kink of min, max and the absolute value.
    """
    order = np.concatenate([np.flatnonzero(y != 3), np.flatnonzero(y != 3)])[: len(y) - 5]
    order = np.concatenate([order, np.flatnonzero(y == 3)[:5]])
    return z[order], y[order], w[[0, 1, 2, 2]]


@functools.cache
def derivatives(name):
    """Gradient by features and head, and its derivative along a direction of the features."""
    gradient = jax.grad(MEASURES[name][0], (0, 2))

    def product(z, y, w, dz):
        return jax.jvp(lambda z: gradient(z, y, w), (z,), (dz,))[1]

    return jax.jit(gradient), jax.jit(product)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("balanced", [True, False])
def test_derivatives_at_collapse(name, balanced, x64):
    """Tied eigenvalues, a null space, repeated samples and a rank-deficient head, all at once."""
    z, y, w = at_collapse(4, 6, 10) if balanced else broken_symmetry(*at_collapse(4, 6, 10))
    rng = np.random.default_rng(1)
    dz, dw = rng.normal(size=z.shape), rng.normal(size=w.shape)
    gradient, product = derivatives(name)
    by_z, by_w = gradient(z, y, w)
    expected = [
        reference.central_difference(lambda z: defined(name, z, y, w), z, dz),
        reference.central_difference(lambda w: defined(name, z, y, w), w, dw),
    ]
    np.testing.assert_allclose([np.sum(by_z * dz), np.sum(by_w * dw)], expected, atol=2e-7)
    if not balanced:
        assert np.max(np.abs(expected)) > 1e-3
    second = product(z, y, w, dz)
    assert all(jnp.all(jnp.isfinite(x)) for x in second)
    assert max(jnp.max(jnp.abs(x)) for x in second) > 1e-4


def test_float32_derivatives_at_collapse_match_float64():
    z, y, w = (a.astype(np.float32) if a.ndim == 2 else a for a in at_collapse(4, 6, 10))
    z, y, w = broken_symmetry(z, y, w)
    f = jax.jit(jax.grad(lambda z, w: sample_interplay(z, y, w).mir, (0, 1)))
    single = f(z, w)
    with jax.enable_x64(True):
        double = f(z.astype(np.float64), w.astype(np.float64))
    for a, b in zip(single, double, strict=True):
        assert a.dtype == jnp.float32 and jnp.any(jnp.abs(a) > 1e-4)
        np.testing.assert_allclose(a, b, atol=1e-6)


# Other points with repeated or null eigenvalues


def special_points():
    rng = np.random.default_rng(8)
    z = rng.normal(size=(3, 8))
    etf = np.asarray(collapse.simplex_etf(4, 8), np.float64)
    return {
        "duplicates": z[[0, 0, 0, 0, 0, 1, 1, 2]],
        "unbalanced collapse": etf[[0, 0, 0, 1, 1, 2, 2, 3]],
        "collapse": etf[[0, 1, 2, 3, 0, 1, 2, 3]],
        "orthonormal": np.linalg.qr(rng.normal(size=(8, 8)))[0],
        "one sample": z[:1],
        "tied and tall": etf[[0, 1, 2, 3, 0, 0]][:, :3],
    }


@jax.jit
@jax.jacrev
def gradients(z):
    return jnp.stack([feature_entropy(z, alpha) for alpha in SMOOTH])


@pytest.mark.parametrize("name", special_points())
def test_first_derivatives_at_ties(name, x64):
    z = special_points()[name]
    direction = np.random.default_rng(9).normal(size=z.shape)
    expected = [
        reference.central_difference(
            lambda z, a=alpha: reference.entropy(reference.gram(z), a), z, direction, 1e-5
        )
        for alpha in SMOOTH
    ]
    np.testing.assert_allclose(np.tensordot(gradients(z), direction, 2), expected, atol=2e-6)


@pytest.mark.parametrize("name", special_points())
def test_float32_gradients_match_float64(name):
    z = special_points()[name].astype(np.float32)
    single = gradients(z)
    with jax.enable_x64(True):
        double = gradients(z.astype(np.float64))
    np.testing.assert_allclose(single, double, atol=3e-6)


@pytest.mark.parametrize("alpha", [1, 0.7, math.inf])
def test_hessian_vector_products_are_finite_where_rank_can_rise(alpha):
    gradient = jax.grad(lambda z: matrix_entropy(gram(z), alpha))
    product = jax.jit(lambda z, v: jax.jvp(gradient, (z,), (v,))[1])
    v = jnp.asarray(np.random.default_rng(11).normal(size=(8, 8)), jnp.float32)
    for name in ("duplicates", "unbalanced collapse", "collapse", "orthonormal"):
        got = product(jnp.asarray(special_points()[name], jnp.float32), v)
        assert jnp.all(jnp.isfinite(got)), name
        if alpha != math.inf:  # not differentiable where the largest eigenvalue is tied
            assert jnp.any(jnp.abs(got) > 1e-3), name
