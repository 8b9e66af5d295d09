"""Small networks: a tree of parameters whose kernels are prunable, and a net with BatchNorm."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn


def network(rng=None, draw=None):
    """Parameters named as in flax, with many equal magnitudes."""
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
    """The kernels of a tree as one vector."""
    return np.concatenate([np.asarray(tree[layer][name]).reshape(-1) for layer, name in kernels])


class Net(nn.Module):
    """Two normalised layers and a head."""

    momentum: float = 0.999
    width: int = 6
    classes: int = 3

    @nn.compact
    def __call__(self, x, train):
        for _ in range(2):
            x = nn.Dense(self.width)(x)
            x = nn.relu(nn.BatchNorm(momentum=self.momentum, use_running_average=not train)(x))
        return nn.Dense(self.classes)(x)
