"""The vision transformer: its definition in float64, positions, independence of the batch."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infojax.models.vit import ViT, positions


@pytest.fixture(scope="module")
def network():
    model = ViT(5, patch=2, width=8, depth=2, num_heads=2)
    images = np.random.default_rng(0).normal(size=(3, 4, 6, 1)).astype(np.float32)
    variables = jax.jit(functools.partial(model.init, train=False))(jax.random.key(0), images)
    leaves, tree = jax.tree.flatten(variables)
    rng = np.random.default_rng(1)  # so that no scale is 1 and no bias 0
    leaves = [x + np.float32(0.2) * rng.normal(size=x.shape).astype(np.float32) for x in leaves]
    return model, jax.tree.unflatten(tree, leaves), images


def _norm(x, p):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * p["scale"] + p["bias"]


def _dense(x, p):
    return x @ p["kernel"] + p["bias"]


def _attention(x, p, num_heads):
    n, t, d = x.shape
    q, k, v = (
        _dense(x, p[name]).reshape(n, t, num_heads, -1) for name in ("query", "key", "value")
    )
    scores = np.einsum("nqhd,nkhd->nhqk", q, k) / np.sqrt(d // num_heads)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return _dense(np.einsum("nhqk,nkhd->nqhd", weights, v).reshape(n, t, d), p["out"])


def _gelu(x):
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def test_forward_against_numpy(network):
    model, variables, images = network
    features, logits = jax.jit(functools.partial(model.apply, train=True))(variables, images)
    p = jax.tree.map(np.float64, variables["params"])
    x = np.float64(images).reshape(3, 2, 2, 3, 2, 1).transpose(0, 1, 3, 2, 4, 5).reshape(3, 6, 4)
    x = x @ p["patches"]["kernel"].reshape(4, 8) + p["patches"]["bias"]
    x = x + np.float64(positions(2, 3, 8))
    for i in range(2):
        block = p[f"block{i}"]
        x = x + _attention(_norm(x, block["norm1"]), block, 2)
        inner = _gelu(_dense(_norm(x, block["norm2"]), block["mlp1"]))
        x = x + _dense(inner, block["mlp2"])
    z = _norm(x, p["norm"]).mean(1)
    np.testing.assert_allclose(features, z, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits, _dense(z, p["head"]), rtol=1e-4, atol=1e-5)


def test_no_image_depends_on_the_others(network):
    """As it would with BatchNorm; there is no state either."""
    model, variables, images = network
    assert set(variables) == {"params"}
    run = jax.jit(functools.partial(model.apply, train=True))
    alone, together = run(variables, images[:1])[0], run(variables, images)[0]
    np.testing.assert_allclose(alone, together[:1], rtol=1e-4, atol=1e-5)


def test_positions_tell_rows_and_columns():
    x = np.asarray(positions(3, 4, 16))
    assert x.shape == (12, 16)
    np.testing.assert_allclose(np.sum(x**2, 1), 8, rtol=1e-6)
    distances = np.linalg.norm(x[:, None] - x[None], axis=-1)
    assert distances[~np.eye(12, dtype=bool)].min() > 0.1
    np.testing.assert_allclose(x[5], x[1] + x[4] - x[0], atol=1e-6)  # row 1, column 1


def test_bfloat16_is_close_to_float32(network):
    model, variables, images = network
    half = model.clone(dtype=jnp.bfloat16)
    with jax.numpy_dtype_promotion("standard"):
        plain, rounded = (
            jax.jit(functools.partial(m.apply, train=False))(variables, images)[0]
            for m in (model, half)
        )
    assert rounded.dtype == jnp.float32
    np.testing.assert_allclose(rounded, plain, rtol=0.2, atol=0.1)
    assert np.any(np.asarray(rounded) != np.asarray(plain))
