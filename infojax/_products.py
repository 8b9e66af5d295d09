"""Matrix products at full precision: TF32 and bfloat16 passes ruin small eigenvalues."""

import jax
import jax.numpy as jnp


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns `a @ b`, computed in the precision of the inputs on every backend."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
