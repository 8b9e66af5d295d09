"""Weak augmentation on the device: flips and reflect-padded crops, gathered from the data set."""

import jax
import jax.numpy as jnp


def flip_and_crop(
    key: jax.Array, images: jax.Array, index: jax.Array, positions: jax.Array, pad: int, flip: bool
) -> jax.Array:
    """Gathers images of a data set, each shifted by up to `pad` pixels and possibly mirrored.

    A shift with reflected borders is a random crop of the reflect-padded image. The indices of the
    gather express it, so that no padded copy is made.

    Args:
      key: JAX random key; the key and the position of an image determine its augmentation.
      images: the data set, [n, h, w, channels] of any dtype.
      index: images to take, integer [b], in [0, n).
      positions: their positions in the sequence of all images drawn, integer [b].
      pad: largest shift in pixels, less than h and w; 0 for none.
      flip: whether to mirror half of the images left to right.

    Returns:
      Images [b, h, w, channels].

    >>> import jax, jax.numpy as jnp
    >>> row = jnp.arange(4.0).reshape(1, 1, 4, 1)
    >>> zero = jnp.zeros(1, jnp.int32)
    >>> flip_and_crop(jax.random.key(0), row, zero, zero, 0, False).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    h, w = images.shape[1:3]
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, positions.astype(jnp.uint32))
    bits = jax.vmap(lambda key: jax.random.bits(key, (3,)))(keys)
    shift = (bits[:, :2] % jnp.uint32(2 * pad + 1)).astype(jnp.int32) - pad
    rows = _reflect(shift[:, :1] + jnp.arange(h, dtype=jnp.int32)[None], h)
    columns = _reflect(shift[:, 1:] + jnp.arange(w, dtype=jnp.int32)[None], w)
    if flip:
        mirrored = (bits[:, 2:] & 1).astype(bool)
        columns = jnp.where(mirrored, columns[:, ::-1], columns)
    return images[index[:, None, None], rows[:, :, None], columns[:, None, :]]


def _reflect(x: jax.Array, size: int) -> jax.Array:
    """Maps positions beyond the border to pixels, reflecting about the border pixels."""
    x = jnp.abs(x)
    return jnp.where(x >= size, 2 * (size - 1) - x, x)
