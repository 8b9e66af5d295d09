"""A multilayer perceptron of flattened images, without BatchNorm."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn


class MLP(nn.Module):
    """Hidden layers of one width, each followed by LayerNorm and ReLU.

    LayerNorm lets the learning rates of the convolutional networks serve here too.

    Attributes:
      num_classes: number of classes C.
      depth: number of hidden layers.
      width: units of each, the number of features d.
      dtype: dtype of the computation; parameters are float32, outputs at least float32.
    """

    num_classes: int
    depth: int = 2
    width: int = 512
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """Returns features and logits.

        Args:
          images: standardised, float [n, h, w, channels].
          train: not used; training and evaluation are the same.

        Returns:
          Features float32 [n, d], the last hidden activations; logits float32 [n, C].
        """
        x = images.reshape(len(images), -1).astype(self.dtype)
        for i in range(self.depth):
            x = nn.Dense(
                self.width,
                kernel_init=nn.initializers.he_normal(),
                dtype=self.dtype,
                name=f"dense{i}",
            )(x)
            x = nn.relu(nn.LayerNorm(dtype=self.dtype, name=f"norm{i}")(x))
        features = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        return features, nn.Dense(self.num_classes, name="head")(features)
