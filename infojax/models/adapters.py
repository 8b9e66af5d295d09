"""Heads to fine-tune on frozen image and text features: a linear probe, residual adapters."""

import jax
from flax import linen as nn

from infojax.moments import unit_rows


class ResidualAdapter(nn.Module):
    """Normalised `x + W₂ relu(W₁ x)`, the identity at initialisation, where W₂ = 0.

    Attributes:
      width: width of the hidden layer.
    """

    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Adapts features, float [n, d]."""
        hidden = nn.relu(nn.Dense(self.width, use_bias=False)(x))
        zeros = nn.initializers.zeros
        return unit_rows(x + nn.Dense(x.shape[-1], use_bias=False, kernel_init=zeros)(hidden))


class LinearProbe(nn.Module):
    """A linear classifier of the image features, initialised with the text features."""

    @nn.compact
    def __call__(self, images: jax.Array, texts: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the images [n, d] unchanged, and the head's rows [C, d]."""
        return images, self.param("head", lambda _: texts)


class ImageAdapter(nn.Module):
    """A residual adapter of the image features; the text features are the head.

    Attributes:
      width: width of the adapter's hidden layer.
    """

    width: int

    @nn.compact
    def __call__(self, images: jax.Array, texts: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the adapted images [n, d] and the texts [C, d] unchanged."""
        return ResidualAdapter(self.width, name="images")(images), texts


class TwoAdapters(nn.Module):
    """Residual adapters of the image features and of the text features, which are the head.

    Attributes:
      width: width of the adapters' hidden layers.
    """

    width: int

    @nn.compact
    def __call__(self, images: jax.Array, texts: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the adapted images [n, d] and the adapted texts [C, d]."""
        adapted = ResidualAdapter(self.width, name="images")(images)
        return adapted, ResidualAdapter(self.width, name="texts")(texts)
