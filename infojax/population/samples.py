"""The joint matrix G(Z) ∘ G(V) as an operator on samples, without a matrix of its size."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from infojax import moments
from infojax._products import matmul
from infojax.population import quadrature

_BATCH = 8  # the cost of a product is proportional to the number of probes: small batches pay


def sample_operator(
    z_hat: jax.Array, y: jax.Array, w_hat: jax.Array, *, rows: int, leading: int
) -> quadrature.Operator:
    """The joint matrix on the sample side, `(K v)_i = ẑ_i · M ŵ_{y_i}`, `M = Σ_j v_j ẑ_j ŵ_{y_j}ᵀ`.

    A product takes `4 min(n, C) d²` operations: with more samples than classes, sums per class
    come first, `M = Σ_c S_c ŵ_cᵀ`, `S_c = Σ_{j in c} v_j ẑ_j`.

    Args:
      z_hat: normalised features, float [n, d]; zero for samples to ignore.
      y: labels, integer [n]; samples with C are ignored.
      w_hat: normalised head rows, float [C, d].
      rows: samples per block, at most n; temporary arrays are of this many rows, and of C rows
        where n > C.
      leading: see `quadrature.Operator`.

    Returns:
      Operator of size n and unit trace, whose square is unknown.
    """
    n, c = z_hat.shape[0], w_hat.shape[0]
    squares = jnp.sum(w_hat * w_hat, 1).at[y].get(mode="fill", fill_value=0)
    scale = 1 / jnp.maximum(jnp.sum(jnp.sum(z_hat * z_hat, 1) * squares), 1)
    blocks = _Blocks(z_hat, y, rows)
    g = moments.outer_product(w_hat) if c < n and c <= 2 * w_hat.shape[1] else None

    def product(v: jax.Array) -> jax.Array:
        return _by_class(blocks, w_hat, g, v) if n > c else _by_sample(blocks, w_hat, v)

    def apply(v: jax.Array) -> jax.Array:
        products: jax.Array = scale * jax.lax.map(product, v)
        return products

    return quadrature.Operator(apply, n, z_hat.dtype, None, batch=_BATCH, leading=leading)


class _Blocks:
    """Samples in blocks of equal size; the last overlaps the one before it."""

    def __init__(self, z_hat: jax.Array, y: jax.Array, rows: int) -> None:
        self.z_hat, self.y, self.rows = z_hat, y, rows
        self.number = -(-z_hat.shape[0] // rows)

    def _block(self, i: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        start = jnp.minimum(i * self.rows, self.z_hat.shape[0] - self.rows)
        z = jax.lax.dynamic_slice_in_dim(self.z_hat, start, self.rows)
        return start, z, jax.lax.dynamic_slice_in_dim(self.y, start, self.rows)

    def fold(
        self,
        add: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
        start: jax.Array,
        v: jax.Array,
    ) -> jax.Array:
        """Calls `add(sum, v_i ẑ_i [rows, d], y_i [rows])` block by block."""

        def body(i: jax.Array, total: jax.Array) -> jax.Array:
            first, z, y = self._block(i)
            weight = jax.lax.dynamic_slice_in_dim(v, first, self.rows)
            new = first + jnp.arange(self.rows, dtype=first.dtype) >= i * self.rows
            return add(total, jnp.where(new, weight, 0)[:, None] * z, y)

        total: jax.Array = jax.lax.fori_loop(0, self.number, body, start)
        return total

    def map(self, function: Callable[[jax.Array, jax.Array], jax.Array]) -> jax.Array:
        """Concatenates `function(ẑ [rows, d], y [rows])` [rows] of all blocks, [n]."""

        def body(i: jax.Array, out: jax.Array) -> jax.Array:
            first, z, y = self._block(i)
            return jax.lax.dynamic_update_slice_in_dim(out, function(z, y), first, 0)

        empty = jnp.zeros_like(self.z_hat[:, 0])
        mapped: jax.Array = jax.lax.fori_loop(0, self.number, body, empty)
        return mapped


def _by_class(blocks: _Blocks, w_hat: jax.Array, g: jax.Array | None, v: jax.Array) -> jax.Array:
    """Product with v [n], by way of sums per class [C, d]; g is Ŵ Ŵᵀ where it is small."""
    sums = blocks.fold(
        lambda sums, vz, y: sums.at[y].add(vz, mode="drop"), jnp.zeros_like(w_hat), v
    )
    spread = matmul(w_hat, matmul(w_hat.T, sums)) if g is None else matmul(g, sums)
    return blocks.map(lambda z, y: jnp.sum(z * _rows(spread, y), 1))


def _by_sample(blocks: _Blocks, w_hat: jax.Array, v: jax.Array) -> jax.Array:
    """Product with v [n], by way of the matrix M [d, d]."""
    d = w_hat.shape[1]
    m = blocks.fold(
        lambda m, vz, y: m + matmul(vz.T, _rows(w_hat, y)), jnp.zeros((d, d), v.dtype), v
    )
    return blocks.map(lambda z, y: jnp.sum(matmul(z, m) * _rows(w_hat, y), 1))


def _rows(x: jax.Array, y: jax.Array) -> jax.Array:
    return x.at[y].get(mode="fill", fill_value=0)
