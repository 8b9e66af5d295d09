"""Outputs of layers, against flax's own and of networks that have none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from infojax.models import classifier, layers
from infojax.models.mlp import MLP
from infojax.models.vit import ViT
from infojax.models.wide_resnet import WideResNet

BLOCKS = ["stem", "group0_block0", "group1_block0", "group2_block0", "norm"]
IMAGES = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)


def _network(module):
    model = classifier.of_linen(module)
    params, state = jax.jit(model.init)(jax.random.key(0), IMAGES)
    return lambda *args: model.apply(*args, False)[:2], params, state


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (WideResNet(4, 10, 1), BLOCKS),
        (MLP(4, 2, 8), ["dense0", "norm0", "dense1", "norm1"]),
        (ViT(4, 4, 8, 2, 2), ["patches", "block0", "block1", "norm"]),
    ],
)
def test_names_in_order(module, expected):
    found = layers.names(*_network(module), IMAGES)
    assert [name for name in found if "/" not in name] == expected
    assert not any(name.startswith("head") for name in found)


@pytest.mark.parametrize("module", [WideResNet(4, 10, 1), ViT(4, 4, 8, 2, 2)])
def test_values_are_those_that_flax_captures(module):
    function, params, state = _network(module)
    names = layers.names(function, params, state, IMAGES)
    found = jax.jit(layers.outputs(function, tuple(names)))(params, state, IMAGES)
    variables = {"params": params, **state}
    (z, _), captured = module.apply(variables, IMAGES, False, capture_intermediates=True)
    np.testing.assert_allclose(found.pop("features"), z, rtol=1e-5, atol=1e-5)
    assert set(found) == set(names)
    for name in names:
        value = captured["intermediates"]
        for part in name.split("/"):
            value = value[part]
        [value] = value["__call__"]
        pooled = np.mean(value, tuple(range(1, value.ndim - 1)))
        np.testing.assert_allclose(found[name], pooled, rtol=1e-4, atol=1e-5)


def test_layers_are_pooled_in_float32():
    with jax.numpy_dtype_promotion("standard"):  # flax raises bfloat16 to statistics' float32
        function, params, state = _network(WideResNet(4, 10, 1, dtype=jnp.bfloat16))
        found = jax.eval_shape(layers.outputs(function, ("stem",)), params, state, IMAGES)
    assert {x.dtype for x in found.values()} == {jnp.dtype(jnp.float32)}


class _Nnx(nnx.Module):
    def __init__(self, rngs):
        self.head = nnx.Linear(64, 4, rngs=rngs)

    def __call__(self, images):
        z = images.reshape(len(images), -1)
        return z, self.head(z)


def test_other_networks_have_no_known_layers():
    model = classifier.of_nnx(_Nnx)
    params, state = model.init(jax.random.key(0), IMAGES)
    assert layers.names(lambda *args: model.apply(*args, False)[:2], params, state, IMAGES) == []
