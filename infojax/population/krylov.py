"""Leading eigenvectors of a large symmetric matrix that is known by its products."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

_HIGHEST = jax.lax.Precision.HIGHEST
_MOST = 512  # dimensions of the space that the eigenvectors are sought in
_POWERS = 16  # products with the matrix that build it


class Leading(NamedTuple):
    """Orthonormal vectors y [k, size], θ = yᵀ K y [k], |K y - θ y|² [k]; zero where unused."""

    vectors: jax.Array
    values: jax.Array
    residuals: jax.Array


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """Matrix product in full precision."""
    return jnp.matmul(a, b, precision=_HIGHEST)


def leading(apply: Callable, size: int, dtype: jnp.dtype, key: jax.Array) -> Leading:
    """Ritz pairs of the block Krylov space of a random block, the larger half of them.

    Args:
      apply: rows [b, size] to the products with each of them [b, size].
      size: rows of the matrix, positive semi-definite.
      dtype: float32 or float64.
      key: JAX random key.

    Returns:
      At most 256 pairs, those of the largest values last.
    """
    total_most = min(_MOST, size // 2, 2**25 // size)
    block = max(1, total_most // _POWERS)
    total = block * _POWERS

    def grow(i, state):
        basis, projected, v = state
        basis = jax.lax.dynamic_update_slice_in_dim(basis, v, i * block, 0)
        w = apply(v)
        coefficients = product(w, basis.T)
        projected = jax.lax.dynamic_update_slice_in_dim(projected, coefficients, i * block, 0)
        floor = (32 * jnp.finfo(w.dtype).eps) ** 2 * jnp.max(jnp.sum(w * w, 1))
        v = _orthonormal(w - product(coefficients, basis), floor)
        # Where the space is exhausted, as by eigenvalues of high multiplicity, a new start.
        ended = jnp.sum(v * v, 1, keepdims=True) < 0.5
        v = jnp.where(ended, random_rows(jax.random.fold_in(key, i + 1)), v)
        for _ in range(2):
            v = _orthonormal(v - product(product(v, basis.T), basis), 0)
        return basis, projected, v

    def random_rows(key):
        return jax.random.normal(key, (block, size), dtype) / jnp.sqrt(jnp.asarray(size, dtype))

    zeros = jnp.zeros((total, size), dtype)
    start = _orthonormal(_orthonormal(random_rows(key), 0), 0)
    state = zeros, jnp.zeros((total, total), dtype), start
    basis, projected, _ = jax.lax.fori_loop(0, _POWERS, grow, state)
    projected = jnp.tril(projected) + jnp.tril(projected, -1).T
    half = total // 2  # the rest of them has not converged
    vectors = product(jnp.linalg.eigh(projected)[1][:, half:].T, basis)
    norms = jnp.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors / jnp.where(norms == 0, 1, norms)

    def rayleigh(y):
        ky = apply(y)
        values = jnp.sum(y * ky, 1)
        return values, jnp.sum((ky - values[:, None] * y) ** 2, 1)

    values, residuals = jax.lax.map(rayleigh, vectors.reshape(_POWERS // 2, block, -1))
    return Leading(vectors, values.reshape(-1), residuals.reshape(-1))


def _orthonormal(w: jax.Array, floor) -> jax.Array:
    """Orthonormal rows that span the rows of w; zeros for those dependent or of square <= floor."""
    squares, u = jnp.linalg.eigh(product(w, w.T))
    kept = squares > jnp.maximum(floor, 8 * w.shape[0] * jnp.finfo(w.dtype).eps * squares[-1])
    scale = jnp.where(kept, 1 / jnp.sqrt(jnp.where(kept, squares, 1)), 0)
    return product((u * scale[None]).T, w)


def converged(pairs: Leading) -> Leading:
    """Keeps the Ritz pairs that are eigenpairs but for a 1e-7 of their share of the trace."""
    keep = pairs.values > 1e-5 * jnp.max(pairs.values)
    keep &= pairs.residuals <= 1e-7 * pairs.values**2
    keep &= jnp.abs(jnp.sum(pairs.vectors**2, 1) - 1) <= 1e-3
    return Leading(
        jnp.where(keep[:, None], pairs.vectors, 0),
        jnp.where(keep, pairs.values, 0),
        jnp.where(keep, pairs.residuals, 0),
    )


def spread(function: Callable, pairs: Leading) -> jax.Array:
    """Distance of the Gauss value f(θ) of yᵀ f(K) y and the Gauss-Radau one, nodes 0, θ + ρ²/θ.

    What is lost by cutting K into blocks, its trace on the leading vectors and on the rest, is
    this times the logarithm of the ratio of eigenvalues on both sides, at most some 16.
    """
    values = jnp.where(pairs.values > 0, pairs.values, 1)
    node = values + pairs.residuals / values
    distance = jnp.abs(function(values) - values / node * function(node))
    return jnp.where(pairs.values > 0, distance, 0)
