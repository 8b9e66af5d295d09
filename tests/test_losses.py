"""Information loss, and cross-entropy that is exact down to the smallest float32."""

import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from infojax.losses import cross_entropy, information_loss
from tests import reference

# Information loss


def representations(n=12, d=5, e=4):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, d))
    return z, np.concatenate([z[:, :2], rng.normal(size=(n, e - 2))], 1)


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (0.3, 2.0)])
def test_information_loss_matches_definition(weights):
    z, v = (x.astype(np.float32) for x in representations())
    expected = reference.information_loss(z, v, *weights)
    np.testing.assert_allclose(jax.jit(information_loss)(z, v, *weights), expected, rtol=2e-5)


def test_information_loss_takes_half_precision_and_traced_weights():
    z, v = (jnp.asarray(x, jnp.bfloat16) for x in representations())
    wide = jax.jit(information_loss)(z.astype(jnp.float32), v.astype(jnp.float32), 0.3, 2.0)
    got = jax.jit(information_loss)(z, v, jnp.float32(0.3), jnp.float32(2.0))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, wide, rtol=1e-6)


def test_information_loss_gradients(x64):
    z, v = representations()
    rng = np.random.default_rng(1)
    dz, dv = rng.normal(size=z.shape), rng.normal(size=v.shape)
    by_z, by_v = jax.jit(jax.grad(lambda z, v: information_loss(z, v, 0.3, 2.0), (0, 1)))(z, v)
    expected = [
        reference.central_difference(lambda z: reference.information_loss(z, v, 0.3, 2.0), z, dz),
        reference.central_difference(lambda v: reference.information_loss(z, v, 0.3, 2.0), v, dv),
    ]
    np.testing.assert_allclose([np.sum(by_z * dz), np.sum(by_v * dv)], expected, rtol=1e-7)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_information_loss_of_nonfinite_input_is_nan(bad):
    z, v = (jnp.asarray(x, jnp.float32) for x in representations())
    f = jax.jit(information_loss)
    assert jnp.isnan(f(z.at[0, 0].set(bad), v, 0.3, 2.0))
    assert jnp.isnan(f(z, v.at[0, 0].set(bad), 0.3, 2.0))
    assert jnp.isfinite(f(z * 0, v, 0.3, 2.0))  # zero features are finite, as are derivatives
    assert jnp.all(jnp.isfinite(jax.jit(jax.grad(f))(z * 0, v, 0.3, 2.0)))


def test_information_loss_errors_name_argument_and_shape():
    z = jnp.ones((4, 3))
    with pytest.raises(ValueError, match=r"z and v .*\(4, 3\) and \(5, 3\)"):
        information_loss(z, jnp.ones((5, 3)), 1.0, 1.0)
    with pytest.raises(ValueError, match=r"v must hold real .*int32 of shape \(4, 3\)"):
        information_loss(z, z.astype(int), 1.0, 1.0)
    with pytest.raises(ValueError, match=r"z must have 2 dimensions, got shape \(3,\)"):
        information_loss(z[0], z, 1.0, 1.0)


# Cross-entropy


def examples(n=40, c=7, scale=3.0):
    rng = np.random.default_rng(2)
    return (scale * rng.normal(size=(n, c))).astype(np.float32), rng.integers(0, c, n)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9, 1.0])
def test_cross_entropy_matches_definition(smoothing):
    logits, y = examples()
    expected = reference.cross_entropy(logits, y, smoothing)
    np.testing.assert_allclose(cross_entropy(logits, y, smoothing), expected, rtol=1e-6, atol=1e-6)
    batched = cross_entropy(logits.reshape(5, 8, 7), y.reshape(5, 8), smoothing)
    np.testing.assert_allclose(batched, expected.reshape(5, 8), rtol=1e-6, atol=1e-6)


def test_one_compiled_cross_entropy_works_for_every_smoothing():
    """A JAX scalar is an argument of the compiled function and gives the same loss as a number."""
    rng = np.random.default_rng(6)
    logits, y = rng.normal(size=(4, 7)).astype(np.float32), rng.integers(0, 7, 4)
    loss = jax.jit(lambda smoothing: cross_entropy(logits, y, smoothing))
    for smoothing in (0.0, 0.1, 0.9):
        expected = reference.cross_entropy(logits, y, smoothing)
        np.testing.assert_allclose(loss(jnp.float32(smoothing)), expected, rtol=1e-5)
    assert loss._cache_size() == 1


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_gradient_is_softmax_minus_target(smoothing):
    logits, y = examples()
    p = np.exp(-reference.cross_entropy(np.repeat(logits, 7, 0), np.tile(range(7), 40)))
    target = (1 - smoothing) * np.eye(7)[y] + smoothing / 7
    got = jax.grad(lambda x: jnp.sum(cross_entropy(x, jnp.asarray(y), smoothing)))(logits)
    np.testing.assert_allclose(got, p.reshape(40, 7) - target, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_derivatives(smoothing, x64):
    logits, y = examples(3, 4, 1.0)
    f = jax.jit(lambda x: cross_entropy(x, jnp.asarray(y), smoothing))
    check_grads(f, (logits.astype(np.float64),), order=2)


def exact(margins):
    """Loss and gradient by all logits (the label first) from margins, in float64."""
    odds = np.exp(np.asarray(margins, np.float64))
    others = odds / (1 + odds.sum())
    return math.log1p(odds.sum()), np.concatenate([[-others.sum()], others])


@pytest.mark.parametrize("scale", [-69.0, -40.0, -17.0, -16.0, -5.0, -1e-3, 1e-3, 5.0, 20.0, 80.0])
def test_cross_entropy_is_exact_at_any_magnitude(scale):
    """At -69 the loss is 1e-30; logsumexp minus logit would be 0 below -17."""
    margins = np.float32(scale) * np.array([1.0, 1.125, 0.9375, 1.25], np.float32)
    logits = jnp.asarray(np.concatenate([[0], margins]))
    value, gradient = jax.value_and_grad(cross_entropy)(logits, jnp.array(0))
    expected_value, expected_gradient = exact(margins)
    np.testing.assert_allclose(value, expected_value, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-6, atol=1e-38)
    if scale == -69:
        assert 1e-31 < value < 1e-27 and np.all(gradient != 0)


@pytest.mark.parametrize("offset", [0.0, 1024.0, -65536.0])
def test_cross_entropy_does_not_depend_on_an_offset(offset):
    logits = np.array([0.25, -3.5, 1.75], np.float32) + np.float32(offset)  # exact sums
    got = [cross_entropy(logits, jnp.array(k)) for k in range(3)]
    expected = reference.cross_entropy([[0.25, -3.5, 1.75]] * 3, range(3))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_large_margins(smoothing):
    logits = jnp.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [1e4, 1e4, 1e4]])
    y = jnp.zeros(3, int)
    value, gradient = jax.value_and_grad(
        lambda x: jnp.sum(cross_entropy(x, y, smoothing) * jnp.array([1.0, 2.0, 3.0]))
    )(logits)
    per_example = reference.cross_entropy(logits, y, smoothing)
    np.testing.assert_allclose(cross_entropy(logits, y, smoothing), per_example, rtol=1e-6)
    np.testing.assert_allclose(value, per_example @ [1, 2, 3], rtol=1e-6)
    softmax = np.array([[1, 0, 0], [0, 1, 0], [1 / 3] * 3])
    target = (1 - smoothing) * np.eye(3)[[0, 0, 0]] + smoothing / 3
    np.testing.assert_allclose(gradient, (softmax - target) * [[1], [2], [3]], atol=1e-6)


def test_cross_entropy_widens_half_precision():
    logits, y = examples()
    half = jnp.asarray(logits, jnp.bfloat16)
    got = cross_entropy(half, y)
    assert got.dtype == jnp.float32
    np.testing.assert_array_equal(got, cross_entropy(half.astype(jnp.float32), y))
    assert jax.grad(lambda x: jnp.sum(cross_entropy(x, jnp.asarray(y))))(half).dtype == jnp.bfloat16


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint32])
def test_cross_entropy_with_labels_of_any_integer_type(dtype):
    """There are more classes than eight bits can represent."""
    logits = np.random.default_rng(3).normal(size=(5, 300)).astype(np.float32)
    y = np.array([0, 1, 44, 100, 127])
    expected = reference.cross_entropy(logits, y)
    np.testing.assert_allclose(cross_entropy(logits, y.astype(dtype)), expected, rtol=1e-6)


def test_cross_entropy_of_invalid_input_is_nan():
    logits = jnp.array([0.5, -1.0, 2.0])
    np.testing.assert_array_equal(
        jnp.isnan(jnp.stack([cross_entropy(logits, jnp.array(k)) for k in (-1, 0, 2, 3)])),
        [True, False, False, True],
    )
    for smoothing in (0.0, 0.1):
        for at in range(3):
            for bad in (math.nan, math.inf):
                assert jnp.isnan(cross_entropy(logits.at[at].set(bad), jnp.array(0), smoothing))
        assert jnp.isnan(cross_entropy(logits.at[0].set(-math.inf), jnp.array(0), smoothing))


def test_minus_infinity_removes_a_class():
    logits = jnp.array([0.5, -jnp.inf, 2.0])
    value, gradient = jax.value_and_grad(cross_entropy)(logits, jnp.array(0))
    expected_value, expected_gradient = exact([1.5])
    np.testing.assert_allclose(value, expected_value, rtol=1e-6)
    np.testing.assert_allclose(gradient, np.insert(expected_gradient, 1, 0), rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((jnp.ones((2, 3), int), jnp.zeros(2, int)), r"logits must hold real .*\(2, 3\)"),
        ((jnp.ones((2, 3)), jnp.zeros(3, int)), r"labels must .*\(2,\).*int32 of shape \(3,\)"),
        ((jnp.ones((2, 3)), jnp.zeros((2, 1), int)), r"labels must .*int32 of shape \(2, 1\)"),
        ((jnp.ones((2, 3)), jnp.zeros(2)), r"labels must .*float32 of shape \(2,\)"),
        ((jnp.ones((2, 3)), jnp.zeros(2, bool)), r"labels must .*bool of shape \(2,\)"),
        ((jnp.ones((2, 0)), jnp.zeros(2, int)), r"logits must not be empty, got shape \(2, 0\)"),
        ((jnp.float32(1), jnp.int32(0)), r"logits must have shape \[..., C\], got \(\)"),
        ((jnp.ones((2, 3)), jnp.zeros(2, int), 1.5), r"smoothing must be in \[0, 1\], got 1.5"),
        ((jnp.ones((2, 3)), jnp.zeros(2, int), math.nan), "smoothing must be in"),
        ((jnp.ones((2, 3)), jnp.zeros(2, int), "0.1"), "smoothing must be a Python"),
    ],
)
def test_cross_entropy_errors_name_argument_and_shape(arguments, message):
    with pytest.raises(ValueError, match=message):
        cross_entropy(*arguments)


def test_import_needs_only_jax():
    """`import infojax` loads none of the packages of the experiments."""
    code = "import infojax, sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert {"infojax", "jax"} <= loaded
    others = (
        "flax optax orbax matplotlib tensorflow tensorflow_datasets ml_collections absl sklearn"
    )
    assert not loaded & set(others.split())
