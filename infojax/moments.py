"""From features to the small matrices that carry the spectra: Gram matrices and second moments."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from infojax import _checks

_HIGHEST = jax.lax.Precision.HIGHEST
_BLOCK = 512  # most rows of one class multiplied at a time: fewer are slower


def unit_rows(z: ArrayLike) -> jax.Array:
    """Divides every row by its L2 norm; a zero row stays zero, with zero derivative.

    Args:
      z: features, floating [n, d]; float16 and bfloat16 are widened to float32.

    Returns:
      Rows of norm one [n, d]. Rows of any magnitude are handled without over- or underflow; a
      row that holds NaN or inf becomes NaN.

    Raises:
      ValueError: z is not a real matrix.
    """
    z = _checks.real_array("z", z, ndim=2)
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(z), -1, keepdims=True))
    is_zero = largest == 0
    z = z / jnp.where(is_zero, 1, largest)  # the norm is scale invariant
    square = jnp.sum(z * z, -1, keepdims=True)
    return jnp.where(is_zero, 0, z / jnp.sqrt(jnp.where(is_zero, 1, square)))


def gram(z: ArrayLike) -> jax.Array:
    r"""Gram matrix of features with L2-normalised rows, `G(Z) = Ẑ Ẑᵀ`.

    Args:
      z: features, floating [n, d]; float16 and bfloat16 are widened to float32.

    Returns:
      Positive semi-definite matrix [n, n] with unit diagonal. A zero row of z gives a zero row
      and column: such a sample does not count (the entropies divide by the trace, not by n).

    Raises:
      ValueError: z is not a real matrix.

    References:
      Song et al. 2024, section 3.

    >>> import jax.numpy as jnp
    >>> gram(jnp.array([[3.0, 0.0], [0.0, 0.5]])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    z_hat = unit_rows(z)
    return outer_product(z_hat)


def outer_product(x: jax.Array) -> jax.Array:
    """X Xᵀ [n, n] of x [n, d] in full precision."""
    return jnp.matmul(x, x.T, precision=_HIGHEST)


def smaller_product(x: jax.Array) -> jax.Array:
    """The smaller of X Xᵀ [n, n] and Xᵀ X [d, d]: they share all eigenvalues but zeros."""
    return outer_product(x if x.shape[0] <= x.shape[1] else x.T)


def class_blocks(y: jax.Array, num_classes: int) -> tuple[jax.Array, jax.Array]:
    """Cuts samples into blocks of one class each, all shapes static.

    Args:
      y: labels, integer [n]; samples with a label outside [0, num_classes) are left out.
      num_classes: number of classes C.

    Returns:
      `(rows, owner)`: indices of samples [m, block], with n where a block is not full, and the
      class of each block [m], for m = n // b + C blocks of b samples, the empty ones last.
    """
    n = y.shape[0]
    # A quarter of a class: on average half a block in each class is padding.
    block = min(_BLOCK, max(16, n // (4 * num_classes)))
    inside = (y >= 0) & (y < num_classes)
    y = jnp.where(inside, y, num_classes)
    order = sorted_order(y, num_classes)
    counts = jnp.bincount(y, length=num_classes + 1)[:num_classes]
    start = jnp.cumsum(counts) - counts
    blocks = -(-counts // block)
    end = jnp.cumsum(blocks)
    index = jnp.arange(n // block + num_classes, dtype=end.dtype)
    owner = jnp.minimum(jnp.searchsorted(end, index, side="right"), num_classes - 1)
    offset = (index - (end - blocks)[owner])[:, None] * block
    offset = offset + jnp.arange(block, dtype=end.dtype)[None]
    rows = order[jnp.clip(start[owner][:, None] + offset, 0, n - 1)]
    return jnp.where(offset < counts[owner][:, None], rows, n), owner


def sorted_order(y: jax.Array, largest: int) -> jax.Array:
    """Indices that sort y, integers in [0, largest]."""
    n = y.shape[0]
    if (largest + 1) * n > 2**31:
        return jnp.argsort(y)
    # One array of integers sorts four times faster than argsort's pairs.
    y = y.astype(jnp.int32)
    return jnp.sort(y * n + jnp.arange(n, dtype=jnp.int32)) % n


def class_moments(x: jax.Array, y: jax.Array, num_classes: int) -> jax.Array:
    """Second moments of each class, `A_c = Σ_{i: y_i = c} x_i x_iᵀ`.

    Sorted by class and multiplied block by block: `2 n d²` operations, where a one-hot product
    would take C times as many.

    Args:
      x: rows, float [n, d].
      y: labels, integer [n]; rows with a label outside [0, num_classes) are left out.
      num_classes: number of classes C.

    Returns:
      Moments [C, d, d].
    """
    rows, owner = class_blocks(y, num_classes)

    def moment(rows):
        x_block = x.at[rows].get(mode="fill", fill_value=0)
        return jnp.matmul(x_block.T, x_block, precision=_HIGHEST)

    return jax.ops.segment_sum(jax.lax.map(moment, rows), owner, num_segments=num_classes)


def head_coordinates(w_hat: jax.Array) -> jax.Array:
    """Coordinates [C, min(C, d)] of the rows of w_hat [C, d] with the same inner products.

    In as many dimensions as there are rows, where that is fewer than d. The coordinates are those
    in an orthonormal basis of the rows' span, transported without rotation when the rows move:
    first derivatives are exact even where w_hat loses rank (at collapse, for one). Second ones
    are along changes that keep the rank; a rank that rises would need further coordinates.
    """
    return w_hat if w_hat.shape[0] >= w_hat.shape[1] else _coordinates(w_hat)


@jax.custom_jvp
def _coordinates(w: jax.Array) -> jax.Array:
    return jnp.matmul(w, _row_space(w), precision=_HIGHEST)


@_coordinates.defjvp
def _coordinates_jvp(primals, tangents):
    (w,), (dw,) = primals, tangents
    basis = _row_space(w)
    return jnp.matmul(w, basis, precision=_HIGHEST), jnp.matmul(dw, basis, precision=_HIGHEST)


@jax.custom_jvp
def _row_space(w: jax.Array) -> jax.Array:
    """Orthonormal basis [d, C] of a space that holds the rows of w [C, d]."""
    return jnp.linalg.qr(w.T)[0]


@_row_space.defjvp
def _row_space_jvp(primals, tangents):
    (w,), (dw,) = primals, tangents
    basis = _row_space(w)
    within = jnp.matmul(jnp.matmul(dw, basis, precision=_HIGHEST), basis.T, precision=_HIGHEST)
    inverse = jnp.linalg.pinv(jnp.matmul(w, basis, precision=_HIGHEST))
    return basis, jnp.matmul((dw - within).T, inverse.T, precision=_HIGHEST)


def joint_moment(moments: jax.Array, coordinates: jax.Array) -> jax.Array:
    """Second moment of `z_i ⊗ k_{y_i}`: `Σ_c A_c ⊗ k_c k_cᵀ`.

    Args:
      moments: A_c, float [C, d, d].
      coordinates: k_c, float [C, r].

    Returns:
      Matrix [d·r, d·r], whose nonzero eigenvalues are those of G(Z) ∘ G(V) when A are the moments
      of normalised rows and k the coordinates of normalised head rows.
    """
    c, d, _ = moments.shape
    r = coordinates.shape[1]
    pairs = (coordinates[:, :, None] * coordinates[:, None, :]).reshape(c, r * r)
    joint = jnp.matmul(moments.reshape(c, d * d).T, pairs, precision=_HIGHEST)
    return joint.reshape(d, d, r, r).transpose(0, 2, 1, 3).reshape(d * r, d * r)
