"""The MLP from its definition."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from infojax.models.mlp import MLP


def test_layers_are_dense_normalised_and_rectified():
    images = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 5, 2)), jnp.float32)
    model = MLP(6, depth=2, width=7)
    variables = jax.jit(functools.partial(model.init, train=False))(jax.random.key(0), images)
    leaves, tree = jax.tree.flatten(variables)
    rng = np.random.default_rng(1)  # so that no scale is 1 and no bias 0
    leaves = [x + jnp.asarray(rng.uniform(0.2, 1, x.shape), x.dtype) for x in leaves]
    variables = jax.tree.unflatten(tree, leaves)
    features, logits = jax.jit(functools.partial(model.apply, train=True))(variables, images)
    params = jax.tree.map(np.float64, variables["params"])
    x = np.float64(images).reshape(3, -1)
    for i in range(2):
        x = x @ params[f"dense{i}"]["kernel"] + params[f"dense{i}"]["bias"]
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6)
        x = np.maximum(x * params[f"norm{i}"]["scale"] + params[f"norm{i}"]["bias"], 0)
    assert features.shape == (3, 7) and logits.shape == (3, 6)
    np.testing.assert_allclose(features, x, rtol=1e-4, atol=1e-5)
    head = params["head"]
    np.testing.assert_allclose(logits, x @ head["kernel"] + head["bias"], rtol=1e-4, atol=1e-5)
    assert set(variables) == {"params"}
