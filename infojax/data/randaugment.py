"""Strong augmentation on the device: RandAugment and cutout, as FixMatch and FreeMatch use them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from infojax import moments
from infojax.data import operations

_GREY = {3: (125, 123, 114), 1: (123,)}  # fill of the cutout, by number of channels


class Draws(NamedTuple):
    """The augmentation of each image; all int32, levels in [0, operations.LEVELS).

    Attributes:
      operations: operations in order of application, [n, k].
      levels: levels of their magnitudes, [n, k].
      cutout: levels of the side (relative to half the width), the centre's x (to the width) and y
        (to the height), [n, 3].
    """

    operations: jax.Array
    levels: jax.Array
    cutout: jax.Array


def augment(
    key: jax.Array, images: jax.Array, positions: jax.Array, num_operations: int = 3
) -> jax.Array:
    """Applies operations drawn with replacement from 14, then a cutout, to each image.

    The draw for an image depends only on the key and its position, and the result only on its own
    pixels, so a batch may be split arbitrarily. Only the operations drawn for an image are
    computed, also under jit, vmap and pmap.

    Args:
      key: JAX random key.
      images: uint8 [n, h, w, channels] with 3 channels or 1, or floating in [0, 1] (rounded to
        8 bits; an image that holds NaN or inf becomes NaN).
      positions: their positions in the sequence of all images drawn, integer [n].
      num_operations: operations per image.

    Returns:
      Images of the same shape and dtype.

    Raises:
      ValueError: images or positions have another shape or dtype.

    References:
      Cubuk et al. 2020, RandAugment; Sohn et al. 2020, FixMatch. Operations, ranges, black borders,
      nearest-neighbour sampling and the grey cutout follow TorchSSL and USB.

    >>> import jax, jax.numpy as jnp
    >>> images = jnp.full((2, 8, 8, 3), 200, jnp.uint8)
    >>> augment(jax.random.key(0), images, jnp.arange(2)).shape
    (2, 8, 8, 3)
    """
    images, positions = _checked(images), jnp.asarray(positions)
    if positions.shape != images.shape[:1] or not jnp.issubdtype(positions.dtype, jnp.integer):
        raise ValueError(
            f"positions must be integers of shape {images.shape[:1]}, "
            f"got {positions.dtype} of shape {positions.shape}"
        )
    return apply(draw(key, positions, num_operations), images)


def draw(key: jax.Array, positions: jax.Array, num_operations: int = 3) -> Draws:
    """Draws operations and levels for images at positions [n]; see `augment`."""

    def bits(position: jax.Array) -> jax.Array:
        key_of_image = jax.random.fold_in(key, position)
        return jax.random.bits(key_of_image, (2 * num_operations + 3,), jnp.uint32)

    words = jax.vmap(bits)(positions.astype(jnp.uint32))
    # The upper 24 bits as a fraction select one of 14 with a bias below 1e-6.
    chosen = ((words[:, :num_operations] >> 8) * len(operations.Operation)) >> 24
    levels = (words[:, num_operations:] // (2**32 // operations.LEVELS)).astype(jnp.int32)
    return Draws(chosen.astype(jnp.int32), levels[:, :num_operations], levels[:, num_operations:])


def apply(draws: Draws, images: jax.Array) -> jax.Array:
    """Applies the draws; images and result as in `augment`."""
    images = _checked(images)
    if images.dtype == jnp.uint8:
        augmented: jax.Array = _apply(draws, images)
        return augmented
    finite = jnp.all(jnp.isfinite(images), (1, 2, 3), keepdims=True)
    wide = jnp.where(finite, images, 0).astype(jnp.float32)
    result = _apply(draws, jnp.round(jnp.clip(wide, 0, 1) * 255).astype(jnp.uint8))
    return jnp.where(finite, result.astype(jnp.float32) / 255, jnp.nan).astype(images.dtype)


def _checked(images: jax.Array) -> jax.Array:
    images = jnp.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in _GREY:
        raise ValueError(f"images must have shape [n, h, w, 3 or 1], got {images.shape}")
    if images.dtype != jnp.uint8 and not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"images must be uint8 or floating in [0, 1], got {images.dtype}")
    return images


@jax.custom_batching.custom_vmap
def _apply(draws: Draws, images: jax.Array) -> jax.Array:
    """Applies the operations round by round, then the cutout, to uint8 images."""

    def one_round(images: jax.Array, drawn: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        return _one_operation_each(images, *drawn), None

    drawn = draws.operations.T, draws.levels.T
    return jax.vmap(_cut_out)(jax.lax.scan(one_round, images, drawn)[0], draws.cutout)


@_apply.def_vmap
def _apply_to_batches(
    size: int, batched: Sequence[Any], draws: Draws, images: jax.Array
) -> tuple[jax.Array, bool]:
    """Treats a batch of batches as one larger batch: under vmap, all branches would be computed."""

    def flat(x: jax.Array, is_batched: bool) -> jax.Array:
        x = x if is_batched else jnp.broadcast_to(x[None], (size, *x.shape))
        return x.reshape(-1, *x.shape[2:])

    draws, images = jax.tree.map(flat, (draws, images), tuple(batched))
    result = _apply(draws, images)
    return result.reshape(size, -1, *result.shape[1:]), True


def _one_operation_each(images: jax.Array, chosen: jax.Array, levels: jax.Array) -> jax.Array:
    """Makes one round, in blocks of images with the same kind of operation: one branch each."""
    functions, kinds = operations.branches(*images.shape[1:3])
    branches = [jax.vmap(f) for f in functions]
    rows, kind = moments.class_blocks(jnp.asarray(kinds)[chosen], len(branches))

    def one_block(i: jax.Array, images: jax.Array) -> jax.Array:
        block = rows[i]
        parts = (x.at[block].get(mode="clip") for x in (images, chosen, levels))
        return images.at[block].set(jax.lax.switch(kind[i], branches, *parts), mode="drop")

    filled = jnp.sum(rows[:, 0] < len(images), dtype=jnp.int32)  # they precede empty blocks
    augmented: jax.Array = jax.lax.fori_loop(0, filled, one_block, images)
    return augmented


def _cut_out(image: jax.Array, levels: jax.Array) -> jax.Array:
    """Fills a square around a pixel of the image with grey, clipped at the border.

    With u = (2 level + 1) / (2 LEVELS) the side is `u w / 2`, the centre `(u w, u h)`. Pillow fills
    from `max(0, centre - side / 2)`, rounded down, to that plus the side, inclusive: one pixel more
    than the side. The unit here is `1 / (8 LEVELS)` of a pixel.
    """
    height, width, channels = image.shape
    odd = 2 * levels + 1
    unit = 8 * operations.LEVELS
    side = 2 * width * odd[0]
    first_x = jnp.maximum(4 * width * odd[1] - side // 2, 0) // unit
    first_y = jnp.maximum(4 * height * odd[2] - side // 2, 0) // unit
    x = jnp.arange(width, dtype=jnp.int32)[None]
    y = jnp.arange(height, dtype=jnp.int32)[:, None]
    inside = (x >= first_x) & (x <= first_x + side // unit)
    grey = jnp.asarray(_GREY[channels], jnp.uint8)[None, None]
    inside = inside & (y >= first_y) & (y <= first_y + side // unit)
    return jnp.where(inside[..., None], grey, image)
