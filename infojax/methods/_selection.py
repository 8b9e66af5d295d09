"""Exact selection of the k smallest of many numbers, for a traced k."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


@jax.jit
def magnitudes(leaves: list[jax.Array]) -> list[jax.Array]:
    """Integers in the order of the magnitudes: the bits of non-negative floats, NaN as inf."""
    in_double = any(x.dtype == jnp.float64 for x in leaves)
    dtype, integer = (jnp.float64, jnp.int64) if in_double else (jnp.float32, jnp.int32)

    def bits(x: jax.Array) -> jax.Array:
        magnitude = jnp.abs(x.astype(dtype))
        return jax.lax.bitcast_convert_type(
            jnp.where(jnp.isnan(magnitude), jnp.inf, magnitude), integer
        )

    return [bits(x) for x in leaves]


def floor_share(sparsity: ArrayLike, n: int) -> jax.Array:
    """floor(s n), int32 []; checks s unless it is traced."""
    if jnp.ndim(sparsity):
        raise ValueError(f"sparsity must be one number, got shape {jnp.shape(sparsity)}")
    in_double = isinstance(sparsity, int | float) or jnp.result_type(sparsity) == jnp.float64
    dtype = jnp.float64 if in_double else jnp.float32
    if isinstance(sparsity, jax.core.Tracer):
        s = sparsity.astype(dtype)
        share = jnp.where(s > 0, jnp.minimum(s * n, n), 0)
        return jnp.floor(share).astype(jnp.int32)
    number = np.asarray(sparsity, dtype)
    if not 0 <= number < 1:
        raise ValueError(f"sparsity must be in [0, 1), got {sparsity}")
    return jnp.asarray(math.floor(number * n), jnp.int32)


@jax.jit
def keep_largest(scores: list[jax.Array], number: jax.Array) -> list[jax.Array]:
    """Marks scores not among the `number` lowest; of equal scores, the first are lowest."""
    flat = jnp.concatenate([x.reshape(-1) for x in scores])
    threshold = _smallest(flat, number)
    tied = flat == threshold
    quota = number - jnp.sum(flat < threshold, dtype=jnp.int32)
    pruned = (flat < threshold) | (tied & (jnp.cumsum(tied, dtype=jnp.int32) <= quota))
    ends = np.cumsum([x.size for x in scores])[:-1]
    parts = jnp.split(~pruned, ends)
    return [part.reshape(x.shape) for part, x in zip(parts, scores, strict=True)]


def _smallest(x: jax.Array, rank: jax.Array) -> jax.Array:
    """The rank-th smallest of non-negative integers [n].

    Bisects their range, which takes a twentieth of the time of a sort.
    """

    def halve(_: jax.Array, bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = bounds
        middle = low + (high - low) // 2
        enough = jnp.sum(x <= middle, dtype=jnp.int32) >= rank
        return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

    steps = np.iinfo(x.dtype).bits
    smallest: jax.Array = jax.lax.fori_loop(0, steps, halve, (jnp.min(x), jnp.max(x)))[1]
    return smallest
