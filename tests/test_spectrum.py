"""Entropy of one matrix: values at every order, derivatives at ties and null eigenvalues."""

import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.test_util import check_grads

from infojax import effective_rank, feature_entropy, gram, matrix_entropy, spectrum
from tests import reference

ORDERS = (1, 2, 0.7, 1.0001, 1.3, 3.5, 50, math.inf)
quick = hypothesis.settings(deadline=None, max_examples=25, derandomize=True)


def every_order(f, orders=ORDERS):
    """Not jitted, so that the orders share one compiled eigenvalue solver."""
    return lambda z: jnp.stack([f(z, alpha) for alpha in orders])


def gram_entropy(z, alpha):
    return matrix_entropy(gram(z), alpha)


of_features, of_gram = every_order(feature_entropy), every_order(gram_entropy)
of_matrix, of_spectrum = every_order(matrix_entropy), every_order(spectrum.entropy_of_spectrum)
KINDS = ("generic", "rank 5", "duplicates", "power law", "offset")


def features(kind, n, d):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, d))
    match kind:
        case "rank 5":
            z = z[:, :5] @ rng.normal(size=(5, d))
        case "duplicates":
            z = z[rng.integers(0, 9, n)]
        case "power law":
            z = z / np.arange(1, d + 1)
        case "offset":
            z = z + 1
    return z.astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_entropies_match_reference(kind):
    for shape in ((20, 50), (90, 30)):
        z = features(kind, *shape)
        expected = [reference.entropy(reference.gram(z), alpha) for alpha in ORDERS]
        np.testing.assert_allclose(of_features(z), expected, rtol=1e-5)
    np.testing.assert_allclose(of_gram(z), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_float64_entropies_match_reference(kind, x64):
    z = features(kind, 90, 30).astype(np.float64)
    expected = [reference.entropy(reference.gram(z), alpha) for alpha in ORDERS]
    np.testing.assert_allclose(of_features(z), expected, rtol=1e-10)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_widened_first(dtype):
    f = jax.jit(feature_entropy)
    z = jnp.asarray(features("generic", 20, 50), dtype)
    wide = f(z.astype(jnp.float32))
    assert f(z).dtype == jnp.float32
    assert f(z) == wide
    assert f(features("generic", 20, 50)) != wide  # z was rounded above


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_rows_of_any_magnitude(scale):
    """Squares of the entries would overflow or underflow."""
    z = features("generic", 20, 50)
    z[::2] *= np.float32(scale)
    np.testing.assert_allclose(gram(z), reference.gram(z), atol=1e-6)


SPECTRA = {
    "ties and zeros": [3.0] * 4 + [1.0] * 3 + [0.25] + [0.0] * 32,
    "power law": 1 / np.arange(1.0, 41.0),
    "one large": [1.0] + [0.01] * 39,
}


@pytest.mark.parametrize("name", SPECTRA)
def test_prescribed_spectrum(name):
    w = np.array(SPECTRA[name])
    q = np.linalg.qr(np.random.default_rng(1).normal(size=(len(w), len(w))))[0]
    k = jnp.asarray(q @ np.diag(w) @ q.T, jnp.float32)
    got = of_matrix(k)
    expected = [reference.entropy_of_spectrum(w, a) for a in ORDERS]
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    got = of_spectrum(jnp.asarray(w, jnp.float32))
    np.testing.assert_allclose(got, expected, rtol=2e-6)


@pytest.mark.parametrize("cosine", [0.9, 0.3, 0.0, -0.6, -0.999])
def test_two_vectors_have_binary_entropy_of_their_angle(cosine):
    z = jnp.array([[2.0, 0.0, 0.0], [3 * cosine, 0.0, 3 * math.sqrt(1 - cosine**2)]])
    p = (1 + abs(cosine)) / 2
    binary = -p * math.log(p) - (1 - p) * math.log(1 - p)
    # A rounding of the cosine counts log(p / (1 - p)) times.
    np.testing.assert_allclose(feature_entropy(z), binary, rtol=1e-5, atol=5e-7)
    np.testing.assert_allclose(feature_entropy(z, math.inf), -math.log(p), rtol=1e-5, atol=1e-7)


def test_rank_one_is_zero_and_orthonormal_is_log_n():
    rng = np.random.default_rng(2)
    line = jnp.asarray(rng.normal(size=(20, 1)) * rng.normal(size=(1, 50)), jnp.float32)
    np.testing.assert_allclose(of_features(line), 0, atol=1e-5)
    q = jnp.asarray(np.linalg.qr(rng.normal(size=(50, 50)))[0][:20], jnp.float32)
    np.testing.assert_allclose(of_features(q), math.log(20), rtol=1e-6)
    np.testing.assert_allclose(effective_rank(q), 20, rtol=3e-6)
    np.testing.assert_allclose(effective_rank(line), 1, rtol=1e-5)


@pytest.mark.parametrize("n", [3, 8])
def test_small_orders_do_not_count_rounding_as_rank(n):
    rng = np.random.default_rng(3)
    z = jnp.asarray(rng.normal(size=(20, n, 1)) * rng.normal(size=(20, 1, 16)), jnp.float32)
    np.testing.assert_allclose(jax.jit(jax.vmap(lambda z: gram_entropy(z, 0.3)))(z), 0, atol=1e-5)


def test_rounding_of_many_null_eigenvalues_does_not_add_up():
    """Half a unit each, all of the same sign, would be 1e-4 nats."""
    entropy = jax.jit(matrix_entropy)
    for offset in (3, 8, 12):
        z = np.random.default_rng(0).normal(size=(400, 8)) + offset
        k = jnp.asarray(reference.gram(z), jnp.float32)
        np.testing.assert_allclose(entropy(k), reference.entropy(k), atol=3e-5)


small_integers = hnp.arrays(np.int8, (6, 4), elements=st.integers(-4, 4))
of_some_orders = jax.jit(every_order(feature_entropy, (1, 0.7, 3.5)))


@quick
@hypothesis.given(small_integers, st.integers(0, 2**16))
def test_rotation_permutation_and_row_scales_change_nothing(z, seed):
    rng = np.random.default_rng(seed)
    z = z.astype(np.float64)
    q = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    scale = np.exp(rng.normal(size=(6, 1)) * 3)
    k = reference.gram(z)
    expected = [reference.entropy(k, alpha) if z.any() else 0 for alpha in (1, 0.7, 3.5)]
    with jax.enable_x64(True):
        for changed in (z, z @ q, rng.permutation(z), z[:, rng.permutation(4)], z * scale):
            np.testing.assert_allclose(of_some_orders(changed), expected, atol=1e-9)


# Derivatives


def test_derivatives_in_all_modes(x64):
    z = jnp.asarray(np.random.default_rng(6).normal(size=(5, 3)))
    check_grads(jax.jit(lambda z: matrix_entropy(z @ z.T, 0.7)), (z,), order=2)


@pytest.mark.parametrize("alpha", [1, 2, 0.7, 1.0001, 50, math.inf])
def test_derivatives_at_generic_points(alpha, x64):
    z, v = np.random.default_rng(14).normal(size=(2, 5, 3))
    gradient = jax.jit(jax.grad(lambda z: feature_entropy(z, alpha)))
    directional = reference.central_difference(gradient, z, v)
    np.testing.assert_allclose(jax.jvp(gradient, (z,), (v,))[1], directional, atol=1e-7)
    slope = reference.central_difference(
        lambda z: reference.entropy(reference.gram(z), alpha), z, v
    )
    np.testing.assert_allclose(np.sum(gradient(z) * v), slope, atol=2e-6)


@pytest.mark.parametrize("alpha", [1, 3.5])
def test_float32_gradients_keep_small_eigenvalues(alpha):
    """Eigenvalues down to 4e-6 of the largest and 1e-7 of the trace; orders below 1 lose them."""
    z = np.random.default_rng(15).normal(size=(8, 8)) / np.arange(1.0, 9.0) ** 3
    z = reference.unit_rows(z).astype(np.float32)
    gradient = jax.jit(jax.grad(lambda z: feature_entropy(z, alpha)))
    single = gradient(z)
    with jax.enable_x64(True):
        double = gradient(z.astype(np.float64))
        w = np.linalg.eigvalsh(z.astype(np.float64) @ z.T.astype(np.float64))
    # log w is off by n eps max(w) / w; 2 / tr K (log K) Z has the norm sqrt(w) there; n = tr K.
    bound = 2 * np.finfo(np.float32).eps * w[-1] / np.sqrt(w[0])
    assert bound < 2 / 8 * abs(np.log(w[0] / 8)) * np.sqrt(w[0]) / 5  # the part of the smallest
    np.testing.assert_allclose(single, double, rtol=0, atol=bound)


@pytest.mark.parametrize("alpha", [1, 0.7, 3.5])
def test_second_derivatives_at_ties_of_fixed_rank(alpha, x64):
    """Z [7, 3] has two equal singular values, so K = Z Zᵀ has a tie and always four zeros."""
    rng = np.random.default_rng(10)
    z = np.linalg.qr(rng.normal(size=(7, 3)))[0] * [1, 1, 2]
    v = rng.normal(size=z.shape)
    hessian_vector = jax.jit(
        lambda z, v: jax.jvp(jax.grad(lambda z: matrix_entropy(z @ z.T, alpha)), (z,), (v,))[1]
    )
    t = 1e-3
    points = [reference.entropy((z + s * t * v) @ (z + s * t * v).T, alpha) for s in range(-2, 3)]
    second = np.dot([-1, 16, -30, 16, -1], points) / (12 * t**2)
    np.testing.assert_allclose(np.sum(hessian_vector(z, v) * v), second, rtol=1e-6)


@pytest.mark.parametrize("n", [2, 4, 40])
@pytest.mark.parametrize("alpha", [0.7, 1, 1.3])
def test_gradient_has_no_null_space_component(n, alpha):
    """Rounding in null eigenvalues is not rank: at order 1 its logarithm would be a slope of 16."""
    rng = np.random.default_rng(12)
    rank = n // 2
    z = reference.unit_rows(rng.normal(size=(20 * n, rank)) @ rng.normal(size=(rank, 60)))
    z = z.reshape(20, n, 60)
    gradient = jax.jit(jax.vmap(jax.grad(lambda k: matrix_entropy(k, alpha))))
    got = gradient(jnp.asarray(z @ z.swapaxes(1, 2), jnp.float32))
    null = np.stack([np.linalg.svd(x)[0][:, rank:] for x in z])
    np.testing.assert_allclose(null.swapaxes(1, 2) @ np.asarray(got), 0, atol=1e-4)
    if rank > 1:
        assert np.abs(got).max() > 1e-2 / n


def test_zero_rows_are_ignored_and_have_zero_gradient():
    some = features("generic", 18, 50)
    z = np.insert(some, [0, 3], 0, axis=0)
    expected = [reference.entropy(reference.gram(some), alpha) for alpha in ORDERS]
    np.testing.assert_allclose(of_features(z), expected, rtol=1e-5)
    gradient = jax.jit(jax.jacrev(of_features))(z)
    assert jnp.all(jnp.isfinite(gradient))
    np.testing.assert_array_equal(gradient[:, np.array([0, 4])], 0)
    assert jnp.all(jnp.any(gradient != 0, (1, 2)))


def test_zero_matrix_has_zero_entropy_and_gradient():
    np.testing.assert_array_equal(of_matrix(jnp.zeros((3, 3))), 0)
    np.testing.assert_array_equal(jax.jit(jax.jacrev(of_matrix))(jnp.zeros((3, 3))), 0)


# Invalid input


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nonfinite_input_gives_nan(bad):
    z = jnp.ones((20, 50)).at[1, 2].set(bad)
    assert jnp.all(jnp.isnan(of_features(z)))
    assert jnp.all(jnp.isnan(of_matrix(jnp.eye(3).at[1, 2].set(bad))))
    assert jnp.all(jnp.isnan(of_spectrum(jnp.array([1.0, 2.0]).at[1].set(bad))))
    assert jnp.isnan(effective_rank(z))
    assert jnp.all(jnp.isnan(gram(z)[1])) and jnp.all(gram(z)[2:, 2:] > 0.9)


def test_negative_trace_gives_nan():
    w = jnp.array([1.0, -3.0])
    assert jnp.all(jnp.isnan(of_matrix(jnp.diag(w)))) and jnp.all(jnp.isnan(of_spectrum(w)))


def test_spectrum_of_any_scale():
    w = jnp.array([3.0, 1.0, 0.0, 2.0])
    for scale in (1e-37, 1e38):
        np.testing.assert_allclose(of_spectrum(w * scale), of_spectrum(w), rtol=1e-6)


@pytest.mark.parametrize("alpha", [0, -1, math.nan, -math.inf, True, "1", None])
def test_order_must_be_a_positive_static_number(alpha):
    for call in (feature_entropy, matrix_entropy, spectrum.entropy_of_spectrum):
        with pytest.raises(ValueError, match="alpha"):
            call(jnp.ones((3, 3)), alpha)
        with pytest.raises(ValueError, match="alpha must be a Python number"):
            jax.jit(call)(jnp.ones((3, 3)), 1.0)


@pytest.mark.parametrize("call", [feature_entropy, effective_rank, gram])
@pytest.mark.parametrize(
    ("z", "shape"),
    [
        (jnp.ones(3), r"\(3,\)"),
        (jnp.ones((2, 3, 4)), r"\(2, 3, 4\)"),
        (jnp.ones((3, 2), int), r"int32 of shape \(3, 2\)"),
        (jnp.ones((3, 2), complex), r"complex64 of shape \(3, 2\)"),
        (jnp.ones((0, 2)), r"\(0, 2\)"),
    ],
)
def test_features_must_be_a_real_matrix(call, z, shape):
    with pytest.raises(ValueError, match=f"^z must .*{shape}"):
        call(z)


@pytest.mark.parametrize("shape", [(3, 4), (3,), (0, 0)])
def test_matrices_must_be_square(shape):
    with pytest.raises(ValueError, match=rf"^k must .*\({', '.join(map(str, shape))},?\)"):
        matrix_entropy(jnp.ones(shape))


def test_sizes_beyond_lapack_are_rejected():
    k = jax.ShapeDtypeStruct((32_767, 32_767), jnp.float32)
    with pytest.raises(ValueError, match=r"32,766 rows, got shape \(32767, 32767\)"):
        jax.eval_shape(matrix_entropy, k)
    assert jax.eval_shape(lambda k: matrix_entropy(k, 2), k).shape == ()  # needs no eigenvalues
