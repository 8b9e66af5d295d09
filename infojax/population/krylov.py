"""Leading eigenvectors of a large symmetric matrix that is given by its products with vectors."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from infojax._products import matmul

Map = Callable[[jax.Array], jax.Array]

_MOST = 512  # largest dimension of the Krylov space
_POWERS = 16  # products with the matrix that build it


class Leading(NamedTuple):
    """Orthonormal rows y [k, size], θ = yᵀ K y [k] and |K y - θ y|² [k]; zero where unused."""

    vectors: jax.Array
    values: jax.Array
    residuals: jax.Array


def leading(apply: Map, size: int, dtype: jnp.dtype, key: jax.Array, most: int = 512) -> Leading:
    """Ritz pairs of a block Krylov space with a random start: the half with the larger values.

    Args:
      apply: maps rows [b, size] to their products with the matrix [b, size].
      size: number of rows of the matrix, which is positive semi-definite.
      dtype: float32 or float64.
      key: JAX random key.
      most: largest dimension of the space, which takes 3 products with the matrix for 2 dimensions.

    Returns:
      At most half as many pairs, in ascending order of the projected matrix's eigenvalues.
    """
    basis, projected = _krylov_space(apply, size, dtype, key, most)
    projected = jnp.tril(projected) + jnp.tril(projected, -1).T
    half = basis.shape[0] // 2  # the smaller Ritz values have not converged
    vectors = matmul(jnp.linalg.eigh(projected)[1][:, half:].T, basis)
    norms = jnp.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors / jnp.where(norms == 0, 1, norms)

    def rayleigh(y: jax.Array) -> tuple[jax.Array, jax.Array]:
        ky = apply(y)
        values = jnp.sum(y * ky, 1)
        return values, jnp.sum((ky - values[:, None] * y) ** 2, 1)

    values, residuals = jax.lax.map(rayleigh, vectors.reshape(_POWERS // 2, -1, size))
    return Leading(vectors, values.reshape(-1), residuals.reshape(-1))


def _krylov_space(
    apply: Map, size: int, dtype: jnp.dtype, key: jax.Array, most: int
) -> tuple[jax.Array, jax.Array]:
    """Orthonormal basis [total, size] and the matrix in it [total, total] (lower triangle)."""
    block = max(1, min(_MOST, most, size // 2, 2**25 // size) // _POWERS)
    total = block * _POWERS
    State = tuple[jax.Array, jax.Array, jax.Array]  # basis, matrix in it, next rows

    def random_rows(key: jax.Array) -> jax.Array:
        return jax.random.normal(key, (block, size), dtype) / jnp.sqrt(jnp.asarray(size, dtype))

    def grow(i: jax.Array, state: State) -> State:
        basis, projected, v = state
        basis = jax.lax.dynamic_update_slice_in_dim(basis, v, i * block, 0)
        w = apply(v)
        coefficients = matmul(w, basis.T)
        projected = jax.lax.dynamic_update_slice_in_dim(projected, coefficients, i * block, 0)
        floor = (32 * np.finfo(w.dtype).eps) ** 2 * jnp.max(jnp.sum(w * w, 1))
        v = _orthonormal(w - matmul(coefficients, basis), floor)
        # Restart where the space is exhausted, as with eigenvalues of high multiplicity.
        ended = jnp.sum(v * v, 1, keepdims=True) < 0.5
        v = jnp.where(ended, random_rows(jax.random.fold_in(key, i + 1)), v)
        for _ in range(2):
            v = _orthonormal(v - matmul(matmul(v, basis.T), basis), 0)
        return basis, projected, v

    zeros = jnp.zeros((total, size), dtype)
    start = _orthonormal(_orthonormal(random_rows(key), 0), 0)
    state = zeros, jnp.zeros((total, total), dtype), start
    basis, projected, _ = jax.lax.fori_loop(0, _POWERS, grow, state)
    return basis, projected


def _orthonormal(w: jax.Array, floor: jax.Array | float) -> jax.Array:
    """Orthonormal rows that span the rows of w; zero for directions of squared length <= floor."""
    squares, u = jnp.linalg.eigh(matmul(w, w.T))
    kept = squares > jnp.maximum(floor, 8 * w.shape[0] * np.finfo(w.dtype).eps * squares[-1])
    scale = jnp.where(kept, 1 / jnp.sqrt(jnp.where(kept, squares, 1)), 0)
    return matmul((u * scale[None]).T, w)


def converged(pairs: Leading) -> Leading:
    """Zeroes the Ritz pairs that are not eigenpairs up to a squared relative residual of 1e-7."""
    keep = pairs.values > 1e-5 * jnp.max(pairs.values)
    keep &= pairs.residuals <= 1e-7 * pairs.values**2
    keep &= jnp.abs(jnp.sum(pairs.vectors**2, 1) - 1) <= 1e-3
    return Leading(
        jnp.where(keep[:, None], pairs.vectors, 0),
        jnp.where(keep, pairs.values, 0),
        jnp.where(keep, pairs.residuals, 0),
    )


def spread(function: Map, pairs: Leading) -> jax.Array:
    """Distance between two rules for yᵀ f(K) y: Gauss, f(θ), and Gauss-Radau, nodes 0, θ + ρ²/θ.

    The traces of f(K) on the leading vectors and on their complement do not quite add up to
    tr f(K), because K couples the two. The error is this distance times the logarithm of the ratio
    of the eigenvalues on either side, at most about 16.
    """
    values = jnp.where(pairs.values > 0, pairs.values, 1)
    node = values + pairs.residuals / values
    distance = jnp.abs(function(values) - values / node * function(node))
    return jnp.where(pairs.values > 0, distance, 0)
