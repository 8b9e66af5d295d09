"""The mathematics under JAX's debugging flags, which stop at any NaN or infinity on the way."""

import contextlib
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import infojax
from infojax import losses
from infojax.methods import freematch

N, D, C = 12, 4, 3
SETTINGS = {
    "nans": [jax.debug_nans],
    "both": [jax.debug_nans, jax.debug_infs],
    "both, without jit": [jax.debug_nans, jax.debug_infs, jax.disable_jit],
}
rng = np.random.default_rng(0)
Z, V, W, HEAD = (rng.normal(size=s) for s in ((N, D), (N, 5), (C, D), (4 * N, D)))
Q = np.abs(Z) / np.sum(np.abs(Z), 1, keepdims=True)
STATE = freematch.init(D)
ETF = infojax.collapse.simplex_etf(C, D)
Y, MASK = np.arange(N) % C, np.arange(N) != 4


def by_order(f):
    return lambda *args: sum(f(*args, alpha) for alpha in (1, 2, 0.7, 3.5, math.inf))


def total(f):
    return lambda *args, **kwargs: sum(f(*args, **kwargs))


sample = total(infojax.sample_interplay)
CASES = {
    "gram": (lambda z: jnp.sum(infojax.gram(z) ** 3), Z),
    "matrix_entropy": (lambda z: infojax.matrix_entropy(z @ z.T, 0.7), Z),
    "feature_entropy": (by_order(infojax.feature_entropy), Z),
    "feature_entropy of zero rows": (infojax.feature_entropy, 0 * Z),
    "feature_entropy of one sample": (infojax.feature_entropy, Z[:1]),
    "effective_rank": (lambda z: infojax.effective_rank(z, mask=MASK), Z),
    "mutual_information": (lambda z, v: infojax.mutual_information(z @ z.T, v @ v.T), Z, V),
    "mir": (lambda z, v: infojax.mir(z @ z.T, v @ v.T), Z, V),
    "hdr": (lambda z, v: infojax.hdr(z @ z.T, v @ v.T), Z, V),
    "interplay": (lambda z, v: total(infojax.interplay)(z, v, mask=MASK), Z, V),
    "sample_interplay": (lambda z, w: sample(z, Y, w), Z, W),
    "sample_interplay at collapse": (lambda z, w: sample(z, Y, w), ETF[Y], ETF),
    "sample_interplay by class": (lambda z, w: sample(z, Y, w, mask=MASK), Z[:, :2], W[:, :2]),
    "sample_interplay, C > n": (lambda z, w: sample(z, 3 * Y, w, mask=MASK), Z, HEAD),
    "class_interplay": (
        lambda z, w: total(infojax.class_interplay)(z, Y, w, mask=MASK),
        Z,
        W,
    ),
    "class_interplay, C > n": (lambda z, w: total(infojax.class_interplay)(z, 3 * Y, w), Z, HEAD),
    "information_loss": (lambda z, v: losses.information_loss(z, v, 0.3, 0.7), Z, V),
    "cross_entropy": (lambda x: jnp.sum(losses.cross_entropy(x, Y)), Z),
    "smoothed cross_entropy": (lambda x: jnp.sum(losses.cross_entropy(x, Y, 0.1)), 100 * Z),
    **{
        variant: (lambda z, w, v=variant: losses.cross_modal_alignment(z, w, Y, v), Z, W)
        for variant in ("classwise", "modal", "all")
    },
    "FreeMatch": (lambda q: sum(map(jnp.sum, freematch.update(STATE, q)[0])), Q),
    "FixMatch": (lambda q: jnp.sum(freematch.fixed_threshold(STATE, q)[1]), Q),
    "unsupervised": (lambda x: freematch.unsupervised_loss(x, Y, x[:, 0] * 0 + 1), Z),
    "fairness": (lambda x: freematch.fairness_loss(STATE, x, x[:, 0] * 0 + 1), Z),
}


@contextlib.contextmanager
def flags(setting):
    with contextlib.ExitStack() as stack:
        for flag in SETTINGS[setting]:
            stack.enter_context(flag(True))
        yield


def value_and_gradient(case):
    f, *args = CASES[case]
    arrays = [jnp.asarray(x, jax.dtypes.canonicalize_dtype(float)) for x in args]
    value = f(*arrays)
    return value, *jax.grad(f, tuple(range(len(arrays))))(*arrays)


@functools.cache
def expected(case, x64):
    return value_and_gradient(case)


@pytest.mark.parametrize("setting", ["both", "both, without jit"])
@pytest.mark.parametrize("case", CASES)
def test_no_nan_and_no_infinity_on_the_way(case, setting):
    if (case, setting) == ("fairness", "both, without jit"):
        pytest.skip("jax.nn.softmax itself meets an infinity there")
    check(case, setting, x64=False)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_float64(case):
    """Strict promotion rejects numbers of the wrong precision."""
    with jax.enable_x64(True):
        check(case, "both", x64=True)


def check(case, setting, x64):
    want = expected(case, x64)
    with flags(setting):
        got = value_and_gradient(case)
    for x, y in zip(got, want, strict=True):
        assert jnp.all(jnp.isfinite(y))
        np.testing.assert_allclose(x, y, atol=1e-9 if x64 else 2e-5)


def test_flags_stop_at_invalid_input():
    """The NaN that marks it is no literal, and yet found."""
    with flags("nans"), pytest.raises(FloatingPointError):
        infojax.sample_interplay(Z.astype(np.float32), Y + 1, W.astype(np.float32))
