"""A small tree of parameters, with what pruning takes and leaves, as vectors."""

import jax
import jax.numpy as jnp
import numpy as np


def network(rng=None, draw=None):
    """Parameters of a small net as flax names them, with many equal magnitudes."""
    rng = rng or np.random.default_rng(0)
    draw = draw or (lambda *shape: np.round(2 * rng.normal(size=shape)) / 2)
    shapes = {
        "Conv_0": {"kernel": (3, 3, 2, 5), "bias": (5,)},
        "BatchNorm_0": {"scale": (5,), "bias": (5,)},
        "head": {"kernel": (5, 4), "bias": (4,)},
    }
    is_shape = lambda x: isinstance(x, tuple)  # noqa: E731
    return jax.tree.map(lambda s: jnp.asarray(draw(*s), jnp.float32), shapes, is_leaf=is_shape)


KERNELS = [("Conv_0", "kernel"), ("head", "kernel")]
N = 3 * 3 * 2 * 5 + 5 * 4


def flat(tree, kernels=KERNELS):
    return np.concatenate([np.asarray(tree[layer][name]).reshape(-1) for layer, name in kernels])
