"""Mutual information, MIR and HDR: against the definitions, on every route, and in edge cases."""

import functools
import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import infojax
from infojax import class_interplay, gram, interplay, sample_interplay
from tests import reference

ORDERS = (1, 2, 0.7)
quick = hypothesis.settings(deadline=None, max_examples=25, derandomize=True)


@functools.cache
def fields(f, orders=(1,)):
    """Returns a function that computes all six fields at all orders, [orders, 6]."""
    return jax.jit(lambda *args: jnp.stack([jnp.stack(f(*args, alpha)) for alpha in orders]))


def assert_fields_close(got, expected, tolerance):
    """Compares relative to the entropies, because mutual information and HDR are differences."""
    expected = np.asarray(expected)
    scale = np.maximum(np.abs(expected), expected[..., :3].min(-1, keepdims=True))
    scale[..., 4:] = np.maximum(np.abs(expected[..., 4:]), 1)
    assert np.all(np.abs(np.asarray(got) - expected) <= tolerance * scale), (got, expected)


def samples(n, d, c, seed=0):
    """Features around class means, unbalanced labels with every class present, and head rows."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.concatenate([np.arange(c), rng.integers(0, (c + 1) // 2, n - c)]))
    w = rng.normal(size=(c, d))
    return (w[y] + rng.normal(size=(n, d))).astype(np.float32), y, w.astype(np.float32)


# Shapes (n, d, C) that select each route to the joint entropy.
ROUTES = {
    "n x n": (30, 12, 4),
    "class moments, fewer classes than dimensions": (60, 8, 3),
    "class moments, more classes than dimensions": (60, 4, 9),
}


@pytest.mark.parametrize("route", ROUTES)
def test_sample_interplay_matches_definition(route):
    z, y, w = samples(*ROUTES[route])
    got = fields(sample_interplay, ORDERS)(z, y, w)
    expected = [reference.sample_interplay(z, y, w, alpha) for alpha in ORDERS]
    assert_fields_close(got, expected, 1e-5)


@pytest.mark.parametrize("route", ROUTES)
def test_routes_agree_in_float64(route, x64):
    z, y, w = (np.asarray(a, np.float64) if a.ndim == 2 else a for a in samples(*ROUTES[route]))
    expected = [reference.sample_interplay(z, y, w)]
    assert_fields_close(fields(sample_interplay)(z, y, w), expected, 1e-10)
    if len(z) == 30:
        assert_fields_close(fields(interplay)(z, w[y]), expected, 1e-10)


@pytest.mark.parametrize(("name", "alpha"), [("mutual_information", 0.7), ("mir", 1), ("hdr", 3.5)])
def test_gram_matrices_match_definition(name, alpha):
    z, y, w = samples(*ROUTES["n x n"])
    got = getattr(infojax, name)(gram(z), gram(w[y]), alpha)
    expected = getattr(reference, name)(reference.gram(z), reference.gram(w[y]), alpha)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("n", "d", "e"), [(30, 6, 8), (30, 5, 3)])
def test_interplay_matches_definition(n, d, e):
    rng = np.random.default_rng(1)
    z = rng.normal(size=(n, d)).astype(np.float32)
    v = np.concatenate([z[:, :2], rng.normal(size=(n, e - 2))], 1).astype(np.float32)
    got = fields(interplay, ORDERS)(z, v)
    assert_fields_close(got, [reference.interplay(z, v, alpha) for alpha in ORDERS], 1e-5)


@pytest.mark.parametrize("offset", [0, 3000])
def test_class_interplay_matches_definition(offset):
    z, y, w = samples(200, 8, 5)
    y = np.where(y == 3, 1, y)  # a class without samples
    z = z + np.float32(offset)
    got = fields(class_interplay, ORDERS)(z, y, w)
    expected = [reference.class_interplay(z, y, w, alpha) for alpha in ORDERS]
    assert_fields_close(got, expected, 1e-5 if offset == 0 else 3e-5)


@pytest.mark.parametrize(("name", "dtype"), [("sample", np.uint8), ("class", np.int8)])
def test_narrow_labels(name, dtype):
    """There are more classes than the dtype of the labels can represent."""
    z, _, w = samples(300, 4, 257)
    y = np.random.default_rng(2).integers(0, 127, 300)
    got = fields(getattr(infojax, f"{name}_interplay"))(z, y.astype(dtype), w)
    assert_fields_close(got, [getattr(reference, f"{name}_interplay")(z, y, w)], 1e-5)


@pytest.mark.parametrize(
    ("f", "dtype"), [(sample_interplay, jnp.bfloat16), (class_interplay, jnp.float16)]
)
def test_half_precision_is_widened_first(f, dtype):
    """To the last bit where operations run one by one; compiled together, they may be fused."""
    z, y, w = samples(30, 3, 4)
    z, w = jnp.asarray(z, dtype), jnp.asarray(w, dtype)
    wide = f(z.astype(jnp.float32), y, w.astype(jnp.float32))
    np.testing.assert_array_equal(jnp.stack(f(z, y, w)), jnp.stack(wide))
    assert wide.joint_entropy.dtype == jnp.float32 and wide.mutual_information > 0.05
    np.testing.assert_allclose(fields(f)(z, y, w)[0], jnp.stack(wide), rtol=1e-5)


pair = st.tuples(*[hnp.arrays(np.int8, (5, 3), elements=st.integers(-3, 3))] * 2)
both = fields(interplay)


@quick
@hypothesis.given(pair)
def test_bounds_and_symmetry(pair):
    """max(H1, H2) <= H12 <= H1 + H2, hence 0 <= MIR <= 1; 0 <= HDR <= 1; symmetric in Z and V."""
    z, v = (np.where(x.any(1, keepdims=True), x, 1).astype(np.float64) for x in pair)
    with jax.enable_x64(True):
        got, swapped = both(z, v)[0], both(v, z)[0]
    h1, h2, joint, information, mir, hdr = np.asarray(got)
    np.testing.assert_allclose(swapped, [h2, h1, joint, information, mir, hdr], atol=1e-12)
    assert max(h1, h2) - 1e-12 <= joint
    assert information >= -1e-12
    assert -1e-9 <= mir <= 1 + 1e-9
    assert 0 <= hdr <= 1 + 1e-9
    np.testing.assert_allclose(information, h1 + h2 - joint, atol=1e-12)
    if min(h1, h2) > 1e-6:
        np.testing.assert_allclose(mir, information / min(h1, h2), rtol=1e-9, atol=1e-12)
    if max(h1, h2) > 1e-6:
        np.testing.assert_allclose(hdr, abs(h1 - h2) / max(h1, h2), rtol=1e-9, atol=1e-12)


# Derivatives


def weighted_fields(f, *args):
    return sum(k * field for k, field in enumerate(f(*args), 1))


@pytest.mark.parametrize(("n", "d", "c"), [(7, 4, 3), (14, 4, 2), (14, 2, 3)])
def test_derivatives_on_every_route(n, d, c, x64):
    """First derivatives against the definition, second ones against finite differences."""
    z, y, w = samples(n, d, c, seed=3)
    x = np.concatenate([z, w]).astype(np.float64)
    v = np.random.default_rng(5).normal(size=x.shape)
    f = jax.jit(lambda x: weighted_fields(sample_interplay, x[:n], y, x[n:]))
    defined = lambda x: weighted_fields(reference.sample_interplay, x[:n], y, x[n:])  # noqa: E731
    gradient = jax.jit(jax.grad(f))
    slope = reference.central_difference(defined, x, v)
    np.testing.assert_allclose(np.sum(gradient(x) * v), slope, rtol=1e-7)
    np.testing.assert_allclose(
        jax.jit(jax.jvp, static_argnums=0)(f, (x,), (v,))[1], slope, rtol=1e-7
    )
    second = jax.jit(lambda x: jax.jvp(gradient, (x,), (v,))[1])(x)
    np.testing.assert_allclose(second, reference.central_difference(gradient, x, v), atol=1e-6)


def test_class_derivatives(x64):
    z, y, w = samples(20, 3, 5, seed=4)
    x = np.concatenate([z, w]).astype(np.float64)
    v = np.random.default_rng(5).normal(size=x.shape)
    gradient = jax.grad(lambda x: weighted_fields(class_interplay, x[:20], y, x[20:], 0.7))
    defined = lambda x: weighted_fields(reference.class_interplay, x[:20], y, x[20:], 0.7)  # noqa: E731
    slope = reference.central_difference(defined, x, v)
    np.testing.assert_allclose(np.sum(jax.jit(gradient)(x) * v), slope, rtol=1e-7)


def test_derivatives_at_rank_deficient_head(x64):
    """Derivatives through the coordinates of linearly dependent head rows.

    Second derivatives exist along directions that preserve the rank.
    """
    z, y, _ = samples(40, 5, 4, seed=6)
    z, w = z.astype(np.float64), np.asarray(infojax.collapse.simplex_etf(4, 5))
    dw = np.random.default_rng(7).normal(size=w.shape)
    slope = reference.central_difference(lambda w: reference.sample_interplay(z, y, w)[2], w, dw)
    gradient = jax.jit(jax.grad(lambda w: sample_interplay(z, y, w).joint_entropy))
    np.testing.assert_allclose(np.sum(gradient(w) * dw), slope, atol=1e-8)
    assert abs(slope) > 1e-3
    kept = w @ np.random.default_rng(8).normal(size=(5, 5))
    second = jax.jit(lambda w: jax.jvp(gradient, (w,), (kept,))[1])(w)
    expected = reference.central_difference(gradient, w, kept, 1e-4)
    np.testing.assert_allclose(np.sum(second * kept), np.sum(expected * kept), rtol=1e-5)


# Edge cases


@pytest.mark.parametrize("n", [30, 2000])
def test_constant_features_share_nothing(n):
    """Their entropy is zero up to rounding, and so are numerator and denominator of MIR."""
    rng = np.random.default_rng(8)
    w = rng.normal(size=(5, 16)).astype(np.float32)
    y = rng.integers(0, 5, n)
    z = (rng.normal(size=(n, 1)) * rng.normal(size=(1, 16))).astype(np.float32)
    h, _, _, _, mir, hdr = fields(sample_interplay)(z, y, w)[0]
    np.testing.assert_allclose(h, 0, atol=1e-4)
    assert mir == 0
    np.testing.assert_allclose(hdr, 1, atol=1e-4)
    _, _, _, _, mir, hdr = fields(sample_interplay)(z, y, w[:1].repeat(5, 0))[0]
    assert mir == 0 and hdr == 0


def test_ratios_with_zero_denominator_have_finite_gradients():
    _, y, w = samples(30, 3, 4)
    line = np.arange(1, 31, dtype=np.float32)[:, None] * w[:1]

    def ratios(z, w):
        got = sample_interplay(z, y, w)
        return got.mir + got.hdr

    gradient = jax.jit(jax.grad(ratios, (0, 1)))
    for at in ((line, w), (line, w[:1].repeat(4, 0)), (0 * line, w), (line, 0 * w)):
        assert all(jnp.all(jnp.isfinite(g)) for g in gradient(*at))
    assert jnp.any(jnp.abs(gradient(*samples(30, 3, 4)[::2])[0]) > 1e-3)


def test_zero_rows_are_ignored_and_have_zero_gradient():
    z, y, w = samples(30, 3, 4, seed=9)
    z[:2] = 0
    h, _, joint, *_ = fields(sample_interplay)(z, y, w)[0]
    np.testing.assert_allclose(h, reference.entropy(reference.gram(z[2:])), rtol=1e-5)
    k = reference.gram(z[2:]) * reference.gram(w[y[2:]])
    np.testing.assert_allclose(joint, reference.entropy(k), rtol=1e-5)
    gradient = jax.jit(jax.grad(lambda z: sample_interplay(z, y, w).mir))(z)
    np.testing.assert_array_equal(gradient[:2], 0)
    assert jnp.all(jnp.isfinite(gradient)) and jnp.all(jnp.any(gradient[2:] != 0, 1))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["z", "w", "absent class of w"])
def test_nonfinite_input_gives_nan(bad, where):
    z, y, w = samples(30, 3, 4, seed=10)
    (z if where == "z" else w)[-1, 1] = bad
    y = np.minimum(y, 2) if where == "absent class of w" else y
    for f in (sample_interplay, class_interplay):
        assert np.all(np.isnan(fields(f)(z, y, w)[0, 3:])), f
    if where == "z":
        assert np.all(np.isnan(fields(interplay)(w[y], z)[0, 1:]))
        for f in (infojax.mutual_information, infojax.mir, infojax.hdr):
            assert jnp.isnan(jax.jit(f)(gram(w[y]), gram(z)))


@pytest.mark.parametrize("label", [-1, 4])
def test_labels_out_of_range_give_nan(label):
    z, y, w = samples(30, 3, 4, seed=11)
    for f in (sample_interplay, class_interplay):
        assert np.all(np.isfinite(fields(f)(z, y, w)))
        assert np.all(np.isnan(fields(f)(z, np.append(y[1:], label), w)))


Z, W, Y = jnp.ones((6, 3)), jnp.ones((2, 3)), jnp.zeros(6, int)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interplay(Z, W), r"z and v .*\(6, 3\) and \(2, 3\)"),
        (lambda: interplay(Z, jnp.ones(6)), r"v must .*2 dimensions, got shape \(6,\)"),
        (lambda: interplay(Z, Z.astype(int)), r"v must hold real .*int32 of shape \(6, 3\)"),
        (lambda: sample_interplay(Z, Y, W[:, :2]), r"z and w .*\(6, 3\) and \(2, 2\)"),
        (lambda: sample_interplay(Z, Y, W[None]), r"w must have 2 .*\(1, 2, 3\)"),
        (lambda: sample_interplay(Z, Y, W[:0]), r"w must not be empty, got shape \(0, 3\)"),
        (lambda: sample_interplay(Z, Y[:5], W), r"y must .*\(6,\).*got int32 of shape \(5,\)"),
        (lambda: class_interplay(Z, Y[:, None], W), r"y must .*got int32 of shape \(6, 1\)"),
        (
            lambda: class_interplay(Z, Y.astype(jnp.float32), W),
            r"y must .*got float32 of shape \(6,\)",
        ),
        (lambda: class_interplay(Z.astype(jnp.complex64), Y, W), r"z must hold real .*complex64"),
        (lambda: infojax.mir(Z @ Z.T, jnp.eye(5)), r"k1 and k2 .*\(6, 6\) and \(5, 5\)"),
        (lambda: infojax.hdr(Z, Z), r"k1 must be square .*\(6, 3\)"),
        (lambda: infojax.mutual_information(jnp.eye(2), jnp.ones(2)), r"k2 must be square"),
        (lambda: infojax.mir(jnp.eye(2), jnp.eye(2), -1.0), "alpha must be positive"),
        (lambda: sample_interplay(Z, Y, W, math.nan), "alpha must be positive"),
    ],
)
def test_errors_name_argument_and_shape(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_mixed_precisions_are_rejected(x64):
    with pytest.raises(
        ValueError, match="z and v must have the same dtype, got float64 and float32"
    ):
        interplay(jnp.ones((3, 2)), jnp.ones((3, 2), jnp.float32))
