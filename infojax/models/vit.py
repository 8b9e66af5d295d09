"""A small vision transformer, without BatchNorm: a control for what BatchNorm does."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

_DENSE_INIT = nn.initializers.xavier_uniform()


class ViT(nn.Module):
    """A pre-norm vision transformer with fixed sine-cosine positions and no class token.

    The features are the mean over patches of the last normalised activations.

    Attributes:
      num_classes: number of classes C.
      patch: side of the square patches, a divisor of the images' height and width.
      width: size of a token, the number of features d; a multiple of 4 and of num_heads.
      depth: number of blocks.
      num_heads: heads of attention.
      dtype: dtype of the computation; parameters are float32, outputs at least float32.

    References:
      Dosovitskiy et al. 2021; Beyer, Zhai & Kolesnikov 2022 (mean of patches, fixed positions).
    """

    num_classes: int
    patch: int = 4
    width: int = 128
    depth: int = 6
    num_heads: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """Returns features and logits.

        Args:
          images: standardised, float [n, h, w, channels].
          train: not used; training and evaluation are the same.

        Returns:
          Features float32 [n, d]; logits float32 [n, C].
        """
        side = (self.patch, self.patch)
        x = nn.Conv(
            self.width,
            side,
            strides=side,
            padding="VALID",
            kernel_init=nn.initializers.lecun_normal(),
            dtype=self.dtype,
            name="patches",
        )(images.astype(self.dtype))
        n, h, w, _ = x.shape
        x = x.reshape(n, h * w, self.width) + positions(h, w, self.width)[None].astype(x.dtype)
        for i in range(self.depth):
            x = _Block(self.num_heads, self.dtype, name=f"block{i}")(x)
        x = nn.LayerNorm(dtype=self.dtype, name="norm")(x)
        features = jnp.mean(x.astype(jnp.promote_types(x.dtype, jnp.float32)), 1)
        return features, nn.Dense(self.num_classes, name="head")(features)


class _Block(nn.Module):
    """Attention and a two-layer perceptron, each applied to the normalised input and added."""

    num_heads: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        dense = functools.partial(nn.Dense, kernel_init=_DENSE_INIT, dtype=self.dtype)
        norm = functools.partial(nn.LayerNorm, dtype=self.dtype)
        y = norm(name="norm1")(x)
        heads = (*y.shape[:2], self.num_heads, width // self.num_heads)
        query, key, value = (
            dense(width, name=name)(y).reshape(heads) for name in ("query", "key", "value")
        )
        y = nn.dot_product_attention(query, key, value).reshape(x.shape)
        x = x + dense(width, name="out")(y)
        y = nn.gelu(dense(4 * width, name="mlp1")(norm(name="norm2")(x)))
        return x + dense(width, name="mlp2")(y)


def positions(h: int, w: int, width: int) -> jax.Array:
    """Sines and cosines of a patch's row and column, float32 [h w, width].

    A quarter of the columns each: sines and cosines of the row, sines and cosines of the column,
    at frequencies from 1 down to 1/10,000.
    """
    frequencies = 10_000.0 ** -(np.arange(width // 4) / max(width // 4 - 1, 1))
    row, column = np.divmod(np.arange(h * w), w)
    angles = (row[:, None] * frequencies, column[:, None] * frequencies)
    waves = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
    return jnp.asarray(np.concatenate(waves, 1), jnp.float32)
