"""Arrays that users bring: converted, or refused in one line that names the argument."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import infojax
from infojax import losses

Z, W, Y = np.arange(12.0, dtype=np.float32).reshape(4, 3), np.eye(2, 3), np.array([0, 1, 1, 0])
MASK = np.array([True, False, True, True])


@pytest.mark.parametrize("dtype", [">f2", ">f4", ">f8"])
def test_big_endian_arrays_are_converted(dtype):
    got = infojax.sample_interplay(Z.astype(dtype), Y.astype(">i8"), W.astype(dtype))
    np.testing.assert_array_equal(got, infojax.sample_interplay(Z, Y, W.astype(np.float32)))
    got = infojax.mir((Z @ Z.T).astype(dtype), np.eye(4, dtype=dtype))
    np.testing.assert_array_equal(got, infojax.mir(Z @ Z.T, jnp.eye(4)))
    logits, y = Z.astype(dtype), Y.astype(">u2")
    np.testing.assert_array_equal(losses.cross_entropy(logits, y), losses.cross_entropy(Z, Y))


def test_lists_scalars_and_strided_views():
    wide = np.repeat(Z, 2, 1)[::-1, ::2]
    expected = infojax.feature_entropy(Z)
    np.testing.assert_allclose(infojax.feature_entropy(wide), expected, rtol=1e-5)
    np.testing.assert_array_equal(infojax.feature_entropy(Z.tolist()), expected)
    got = infojax.feature_entropy(Z.tolist(), mask=MASK.tolist())
    np.testing.assert_array_equal(got, infojax.feature_entropy(Z, mask=MASK))
    got = losses.information_loss(Z, Z, np.float32(1), 1)
    np.testing.assert_array_equal(got, losses.information_loss(Z, Z, 1.0, 1.0))


masked = np.ma.masked_array(Z, Z > 10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: infojax.feature_entropy(masked), r"^z must not be .* masked array.*\(4, 3\)"),
        (lambda: infojax.gram(masked), "^z must not be a NumPy masked array"),
        (
            lambda: infojax.mir(np.ma.masked_array(Z @ Z.T), Z @ Z.T),
            "^k1 must not be a NumPy masked array",
        ),
        (lambda: infojax.interplay(Z, masked), "^v must not be a NumPy masked array"),
        (
            lambda: infojax.sample_interplay(Z, np.ma.masked_array(Y), W),
            "^y must not be a NumPy masked array",
        ),
        (
            lambda: infojax.feature_entropy(Z, mask=np.ma.masked_array(MASK)),
            "^mask must not be a NumPy masked array",
        ),
        (lambda: losses.cross_entropy(masked, Y), "^logits must not be a NumPy masked array"),
        (lambda: infojax.feature_entropy(None), "^z must be an array of numbers, got NoneType"),
        (lambda: infojax.feature_entropy("z"), "^z must be an array of numbers, got str"),
        (lambda: infojax.feature_entropy([[1.0], [1.0, 2.0]]), "^z must be an array .* got list"),
        (
            lambda: infojax.gram(Z.astype(object)),
            "^z must be an array of numbers, got dtype object",
        ),
        (
            lambda: infojax.gram(Z.astype(np.longdouble)),
            "^z must be an array .* got dtype float128",
        ),
        (lambda: infojax.gram(Z.astype("M8[s]")), "^z must be an array .* got dtype datetime64"),
        (lambda: infojax.gram(Z.astype(bool)), r"^z must hold real .*bool of shape \(4, 3\)"),
        (
            lambda: infojax.class_interplay(Z, Y.astype(str), W),
            "^y must be an array of numbers, got dtype <U",
        ),
    ],
)
def test_other_arrays_are_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("seed", range(3))
def test_bounds_hold_up_to_rounding(seed):
    """As documented, where the entropy reaches its bounds: parallel and orthogonal features."""
    rng = np.random.default_rng(seed)
    entropy = jax.jit(infojax.feature_entropy)
    for n, d, rounding in ((1, 8, 1e-6), (2, 64, 2e-6), (64, 64, 2e-5), (300, 20, 1e-4)):
        line = (rng.normal(size=(n, 1)) * rng.normal(size=(1, d))).astype(np.float32)
        np.testing.assert_allclose(entropy(line), 0, atol=rounding)
        np.testing.assert_allclose(infojax.effective_rank(line), 1, atol=rounding)
    for n in (8, 64):
        q = np.linalg.qr(rng.normal(size=(n, n)))[0].astype(np.float32)
        np.testing.assert_allclose(entropy(q), np.log(n), atol=2e-6)
