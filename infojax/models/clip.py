"""CLIP: a vision and a text transformer with a shared feature space."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

_EPSILON = 1e-5  # of layer norms


class Tower(NamedTuple):
    """Size of one transformer."""

    width: int
    layers: int
    heads: int


class Architecture(NamedTuple):
    """Sizes of a CLIP model.

    Attributes:
      embed_dim: dimension of the features.
      image_size: height and width of images in pixels.
      patch_size: height and width of a patch.
      vision: image tower.
      context_length: largest number of tokens.
      vocab_size: number of tokens; the largest one marks the end of a text.
      text: text tower.
      quick_gelu: whether GELU is `x σ(1.702 x)`, as in OpenAI's models.
    """

    embed_dim: int
    image_size: int
    patch_size: int
    vision: Tower
    context_length: int
    vocab_size: int
    text: Tower
    quick_gelu: bool


class Block(nn.Module):
    """Residual self-attention and MLP, each preceded by a layer norm."""

    heads: int
    quick_gelu: bool

    @nn.compact
    def __call__(self, x: jax.Array, causal: bool) -> jax.Array:
        """Transforms tokens, float [n, L, width]."""
        width = x.shape[-1]
        x = x + Attention(self.heads, name="attn")(_layer_norm("ln_1")(x), causal)
        hidden = nn.Dense(4 * width, name="c_fc")(_layer_norm("ln_2")(x))
        hidden = hidden * nn.sigmoid(1.702 * hidden) if self.quick_gelu else _gelu(hidden)
        return x + nn.Dense(width, name="c_proj")(hidden)


class Attention(nn.Module):
    """Multi-head self-attention; one product computes query, key and value."""

    heads: int

    @nn.compact
    def __call__(self, x: jax.Array, causal: bool) -> jax.Array:
        """Transforms tokens, float [n, L, width]."""
        n, length, width = x.shape
        qkv = nn.Dense(3 * width, name="in_proj")(x)
        qkv = qkv.reshape(n, length, 3, self.heads, width // self.heads)
        query, key, value = (qkv[:, :, i] for i in range(3))
        mask = nn.make_causal_mask(x[..., 0]) if causal else None
        attended = nn.dot_product_attention(query, key, value, mask=mask)
        return nn.Dense(width, name="out_proj")(attended.reshape(n, length, width))


class ImageTower(nn.Module):
    """Vision transformer, read at its class token."""

    architecture: Architecture

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Features [n, embed_dim] of preprocessed images, float [n, size, size, 3]."""
        a = self.architecture
        patch, width = (a.patch_size, a.patch_size), a.vision.width
        x = nn.Conv(width, patch, patch, "VALID", use_bias=False, name="conv1")(images)
        x = x.reshape(len(x), -1, width)
        normal = nn.initializers.normal(width**-0.5)
        first = self.param("class_embedding", normal, (width,))
        x = jnp.concatenate([jnp.broadcast_to(first, (len(x), 1, width)), x], 1)
        x = x + self.param("positional_embedding", normal, x.shape[1:])[None]
        x = _layer_norm("ln_pre")(x)
        for i in range(a.vision.layers):
            x = Block(a.vision.heads, a.quick_gelu, name=f"resblock_{i}")(x, causal=False)
        read = _layer_norm("ln_post")(x[:, 0])
        features: jax.Array = read @ self.param("proj", normal, (width, a.embed_dim))
        return features


class TextTower(nn.Module):
    """Causal text transformer, read at the end of the text."""

    architecture: Architecture

    @nn.compact
    def __call__(self, tokens: jax.Array, context: jax.Array | None = None) -> jax.Array:
        """Features [n, embed_dim] of texts, see `CLIP.encode_text`."""
        a = self.architecture
        width, length = a.text.width, tokens.shape[1]
        embed = nn.Embed(
            a.vocab_size, width, embedding_init=nn.initializers.normal(0.02), name="token_embedding"
        )
        x = embed(tokens)
        if context is not None:
            x = x.at[:, 1 : 1 + len(context)].set(context[None])
        position = nn.initializers.normal(0.01)
        positions = self.param("positional_embedding", position, (a.context_length, width))
        x = x + positions[None, :length]
        for i in range(a.text.layers):
            x = Block(a.text.heads, a.quick_gelu, name=f"resblock_{i}")(x, causal=True)
        # Only the end token is read: causal attention hides the padding after it.
        x = jnp.take_along_axis(x, jnp.argmax(tokens, 1)[:, None, None], 1)[:, 0]
        normal = nn.initializers.normal(width**-0.5)
        read = _layer_norm("ln_final")(x)
        features: jax.Array = read @ self.param("text_projection", normal, (width, a.embed_dim))
        return features


class CLIP(nn.Module):
    """Image and text towers of Radford et al. 2021; features are not normalised.

    Attributes:
      architecture: sizes.
    """

    architecture: Architecture

    def setup(self) -> None:
        """Creates the towers."""
        self.visual = ImageTower(self.architecture)
        self.text = TextTower(self.architecture)
        self.logit_scale = self.param("logit_scale", nn.initializers.constant(2.6593), ())

    def __call__(self, images: jax.Array, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the features of images and of texts."""
        return self.encode_image(images), self.encode_text(tokens)

    def encode_image(self, images: jax.Array) -> jax.Array:
        """Features of images.

        Args:
          images: preprocessed, float [n, image_size, image_size, 3].

        Returns:
          Features [n, embed_dim].
        """
        features: jax.Array = self.visual(images)
        return features

    def encode_text(self, tokens: jax.Array, context: jax.Array | None = None) -> jax.Array:
        """Features of texts.

        Args:
          tokens: integer [n, L], L at most the context length; each text begins with the start
            token and contains the end token, the largest number of its row.
          context: vectors that replace the embeddings of tokens 1 to m, float [m, width], the same
            for all texts (the learned context of CoOp, Zhou et al. 2022).

        Returns:
          Features [n, embed_dim].
        """
        features: jax.Array = self.text(tokens, context)
        return features


def _layer_norm(name: str) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=_EPSILON, use_fast_variance=False, name=name)


def _gelu(x: jax.Array) -> jax.Array:
    return nn.gelu(x, approximate=False)
