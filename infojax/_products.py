"""Matrix products at full precision, and scales that keep products within the floating range."""

import jax
import jax.numpy as jnp
import numpy as np


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns `a @ b` in full precision on every backend: TF32 ruins small eigenvalues."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def scaled(x: jax.Array, axis: int | tuple[int, ...] | None = None) -> jax.Array:
    """Divides by a power of two, so that the largest magnitude along the axes is between 1 and 8.

    Products of results neither overflow nor vanish. The division is exact, so that quantities
    independent of the scale of x keep every bit; derivatives treat the scale as constant.
    """
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis, keepdims=True))
    limits = np.finfo(x.dtype)
    power = jax.lax.reduce_precision(largest / 2, exponent_bits=limits.nexp, mantissa_bits=0)
    # XLA may multiply by the reciprocal, which beyond a quarter of the range would be flushed to 0.
    return x / jnp.clip(power, limits.tiny, 2.0 ** (limits.maxexp - 3))


def unit_trace(k: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns `K / tr K` of matrices [..., n, n] of any scale, and which are valid, bool [...].

    A zero matrix stays zero. Matrices that are not finite or have a negative trace are not valid.
    """
    k = scaled(k, (-2, -1))  # no sum below overflows or vanishes
    trace = jnp.trace(k, axis1=-2, axis2=-1)
    valid = jnp.isfinite(jnp.sum(k, (-2, -1))) & (trace >= 0)
    return k / jnp.where(trace == 0, 1, trace)[..., None, None], valid
