"""Powers of two that bring numbers near 1, so that their squares neither overflow nor vanish."""

import jax
import jax.numpy as jnp
import numpy as np


def power_of_two(exponent: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """2 to an integer, float []; 0 if it is not a normal number."""
    # By its bits: jnp.ldexp computes a NaN that it drops, which trips jax_debug_nans.
    limits = np.finfo(dtype)
    biased = jnp.maximum(exponent.astype(_integer(dtype)) + limits.maxexp - 1, 0)
    return jax.lax.bitcast_convert_type(biased << limits.nmant, dtype)


def exponent_of(x: jax.Array) -> jax.Array:
    """Exponent of the power of two at or below x >= 0, int32; -127 for zero in float32."""
    limits = np.finfo(x.dtype)
    bits = jax.lax.bitcast_convert_type(x, _integer(x.dtype))
    return (bits >> limits.nmant).astype(jnp.int32) - (limits.maxexp - 1)


def smallest(dtype: jnp.dtype) -> jax.Array:
    """The smallest scale, for zeros: its inverse is a normal number too."""
    return jnp.asarray(2.0 ** (np.finfo(dtype).minexp + 6), dtype)


def scale_of(x: jax.Array) -> jax.Array:
    """The power of two at or below the largest magnitude, float []; `smallest` if it is not finite.

    Quotients by it are exact. Near the limits of the range it is clipped, so that they exceed 2.
    """
    largest = jnp.max(jnp.abs(x))
    limits = np.finfo(x.dtype)
    exponent = exponent_of(jnp.where(jnp.isfinite(largest), largest, 0))
    exponent = jnp.clip(exponent, limits.minexp + 6, limits.maxexp - 8)
    return power_of_two(exponent, x.dtype)


def _integer(dtype: jnp.dtype) -> jnp.dtype:
    return jnp.dtype(f"int{8 * jnp.dtype(dtype).itemsize}")
