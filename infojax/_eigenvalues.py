"""Eigenvalues of symmetric matrices, and which of them are zero up to rounding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from infojax import _checks


def eigenvalues(k: ArrayLike) -> jax.Array:
    """Returns the eigenvalues of symmetric matrices in ascending order.

    Args:
      k: symmetric matrices, float32 or float64 [..., n, n].

    Returns:
      Eigenvalues [..., n]. On CPU they are computed by tridiagonal reduction and bisection, without
      the eigenvectors that `jnp.linalg.eigvalsh` computes there and discards: 3 times faster at
      n = 1280 and equally accurate. Other platforms use `jnp.linalg.eigvalsh`.

    Raises:
      ValueError: k is not square or not real, or n exceeds 32,766, the limit of LAPACK's 32-bit
        workspace size.
    """
    k = _checks.square("k", k)
    check_size(k)
    if k.shape[-1] == 1:
        return k[..., 0]
    w: jax.Array = jax.lax.platform_dependent(k, cpu=_bisection, default=jnp.linalg.eigvalsh)
    return w


def check_size(k: jax.Array) -> None:
    """Raises if matrices [..., n, n] are too large for a dense eigensolver."""
    if k.shape[-1] > 32_766:
        raise ValueError(
            f"dense eigensolvers are limited to 32,766 rows, got shape {k.shape}; use fewer "
            "samples, or infojax.population, whose cost does not depend on the number of samples"
        )


def _bisection(k: jax.Array) -> jax.Array:
    _, diagonal, off_diagonal, _ = jax.lax.linalg.tridiagonal(
        (k + jnp.swapaxes(k, -1, -2)) / 2, lower=True
    )
    solve = functools.partial(jax.scipy.linalg.eigh_tridiagonal, eigvals_only=True)
    w: jax.Array = jnp.vectorize(solve, signature="(n),(m)->(n)")(diagonal, off_diagonal)
    # Bisection returns the m null eigenvalues as the midpoint of one interval, all with the same
    # error of up to half a unit, which adds up over the null space. The trace gives the sum of all
    # errors; the errors of the other n - m are independent, so this share is the best estimate.
    null = is_null(w).astype(w.dtype)
    m = jnp.sum(null, -1, keepdims=True)
    excess = jnp.sum(w, -1, keepdims=True) - jnp.sum(diagonal, -1, keepdims=True)
    return w - null * excess * m / (m * m + (w.shape[-1] - m))


def is_null(w: jax.Array) -> jax.Array:
    """Marks eigenvalues [..., n] that are zero up to rounding; NaN is not marked.

    Rounding leaves null eigenvalues of Gram matrices at up to about n/16 units, and at up to 3
    units for small n. A larger bound would exclude true small eigenvalues from the derivatives.
    """
    return jnp.abs(w) <= rounding(w)


def rounding(w: jax.Array) -> jax.Array:
    """Returns the bound on rounding errors of eigenvalues [..., n], as [..., 1]."""
    units: float = max(4, 0.125 * w.shape[-1]) * np.finfo(w.dtype).eps
    return units * jnp.max(jnp.abs(w), -1, keepdims=True)
