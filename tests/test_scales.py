"""The same numbers at every scale of features and heads, and under large means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import infojax
from infojax import losses
from tests import reference

N, D, C = 24, 3, 5


def entries(rng, *shape):
    """Numbers of magnitude 0.5 to 3, so that those scaled by 1e±37 are normal floats."""
    return (rng.uniform(0.5, 3, shape) * rng.choice([-1, 1], shape)).astype(np.float32)


def scaled_by(x, k):
    scaled = (x.astype(np.float64) * 10.0**k).astype(np.float32)
    assert np.all(np.abs(scaled) >= np.finfo(np.float32).tiny) and np.all(np.isfinite(scaled))
    return scaled


rng = np.random.default_rng(0)
Z, V, W, HEAD = (entries(rng, *shape) for shape in ((N, D), (N, 5), (C, D), (2 * N, D)))
Y = rng.integers(0, C, N)
K1, K2 = (np.abs(x) @ np.abs(x).T for x in (Z, V))
CASES = {
    "feature_entropy": (infojax.feature_entropy, (Z,)),
    "effective_rank": (infojax.effective_rank, (Z,)),
    "gram": (infojax.gram, (Z,)),
    "matrix_entropy": (infojax.matrix_entropy, (K1,)),
    "matrix_entropy, order 2": (lambda k: infojax.matrix_entropy(k, 2), (K1,)),
    "mutual_information": (infojax.mutual_information, (K1, K2)),
    "mir": (infojax.mir, (K1, K2)),
    "hdr": (infojax.hdr, (K1, K2)),
    "interplay": (infojax.interplay, (Z, V)),
    "sample_interplay": (lambda z, w: infojax.sample_interplay(z, Y, w), (Z, W)),
    "sample_interplay, C > n": (lambda z, w: infojax.sample_interplay(z, Y, w), (Z, HEAD)),
    "class_interplay": (lambda z, w: infojax.class_interplay(z, Y, w), (Z, W)),
    "class_interplay, C > n": (lambda z, w: infojax.class_interplay(z, Y, w), (Z, HEAD)),
    "information_loss": (lambda z, v: losses.information_loss(z, v, 0.7, 0.3), (Z, V)),
    **{
        variant: (lambda z, w, v=variant: losses.cross_modal_alignment(z, w, Y, v), (Z, W))
        for variant in ("classwise", "modal", "all")
    },
}


def is_normal(x):
    """Whether no entry is so small that processors flush it to zero."""
    return bool(jnp.all((jnp.abs(x) >= np.finfo(np.float32).tiny) | (x == 0)))


@pytest.mark.parametrize("case", CASES)
def test_same_numbers_at_every_scale(case):
    f, args = CASES[case]
    f = jax.jit(lambda *args, f=f: jnp.hstack([jnp.ravel(x) for x in jax.tree.leaves(f(*args))]))
    expected = f(*args)
    assert jnp.all(jnp.isfinite(expected)) and jnp.max(jnp.abs(expected)) > 0.01
    powers = (-37, -20, -10, 0, 10, 20, 37)
    found = 0
    for k in powers:
        for m in (k, -k) if len(args) > 1 else (k,):
            scaled = [scaled_by(x, p) for x, p in zip(args, (k, m), strict=False)]
            got = f(*scaled)
            if all(map(is_normal, scaled)) and not jnp.any(jnp.isnan(got)):
                found += 1
                np.testing.assert_allclose(got, expected, atol=1e-5)
    assert found >= 5  # a sum of the entries of a matrix may overflow, and gives NaN


@pytest.mark.parametrize("power", [-30, 30])
def test_gradient_is_that_of_the_scaled_function(power):
    """The derivative of f(s z) by s z is f'(z) / s."""

    gradient = jax.jit(jax.grad(lambda z, w: sum(infojax.class_interplay(z, Y, w)), (0, 1)))
    got = gradient(scaled_by(Z, power), scaled_by(W, -power))
    for g, want, k in zip(got, gradient(Z, W), (power, -power), strict=True):
        np.testing.assert_allclose(np.asarray(g, np.float64) * 10.0**k, want, atol=1e-5)


@pytest.mark.parametrize("ratio", [1e3, 1e5, 1e6])
@pytest.mark.parametrize("spread", [1.0, 1e-20, 1e20])
def test_class_interplay_under_large_means(ratio, spread):
    """As float64 of the same numbers, which float32 has rounded to few digits."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, C, 2000)
    w = rng.normal(size=(C, 6)).astype(np.float32)
    z = ratio * rng.normal(size=(1, 6)) + w[y] + rng.normal(size=(2000, 6))
    z = (spread * z).astype(np.float32)
    got = jax.jit(infojax.class_interplay)(z, y, w)
    np.testing.assert_allclose(got, reference.class_interplay(z, y, w), rtol=1e-3)


def test_rows_up_to_the_largest_float():
    z = Z / np.abs(Z).max() * np.finfo(np.float32).max
    got = jax.jit(infojax.feature_entropy)(z), jax.jit(infojax.gram)(z)
    np.testing.assert_allclose(got[0], infojax.feature_entropy(Z), rtol=1e-5)
    np.testing.assert_allclose(got[1], infojax.gram(Z), atol=1e-6)
