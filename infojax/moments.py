"""Gram matrices and second moments of features: the small matrices that carry the spectra."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from infojax import _checks
from infojax._meshes import replicated
from infojax._products import matmul

_BLOCK = 512  # maximum rows of one class per product; smaller blocks are slower


def unit_rows(z: ArrayLike) -> jax.Array:
    """Divides every row by its L2 norm; a zero row stays zero, with zero derivative.

    Args:
      z: features, floating [n, d]; float16 and bfloat16 are widened to float32.

    Returns:
      Unit rows [n, d]. Rows of any magnitude are handled without overflow or underflow; a row that
      contains NaN becomes NaN, an infinite entry becomes NaN and the others of its row 0.

    Raises:
      ValueError: z is not a real matrix.
    """
    z = _checks.real_array("z", z, ndim=2)
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(z), -1, keepdims=True))
    is_zero = largest == 0
    # The norm is scale invariant; XLA may multiply by the reciprocal, which must be normal.
    z = z / jnp.where(is_zero, 1, jnp.minimum(largest, 2.0 ** (np.finfo(z.dtype).maxexp - 3)))
    square = jnp.sum(z * z, -1, keepdims=True)
    return jnp.where(is_zero, 0, z / jnp.sqrt(jnp.where(is_zero, 1, square)))


@replicated
def gram(z: ArrayLike) -> jax.Array:
    r"""Gram matrix of features with L2-normalised rows, `G(Z) = Ẑ Ẑᵀ`.

    Args:
      z: features, floating [n, d]; float16 and bfloat16 are widened to float32.

    Returns:
      Positive semi-definite matrix [n, n] with unit diagonal. A zero row of z gives a zero row
      and column: such a sample is ignored, because entropies divide by the trace, not by n.

    Raises:
      ValueError: z is not a real matrix.

    References:
      Song et al. 2024, section 3.

    >>> import jax.numpy as jnp
    >>> gram(jnp.array([[3.0, 0.0], [0.0, 0.5]])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return outer_product(unit_rows(z))


def outer_product(x: jax.Array) -> jax.Array:
    """Returns X Xᵀ [n, n] of x [n, d] in full precision."""
    return matmul(x, x.T)


def smaller_product(x: jax.Array) -> jax.Array:
    """Returns the smaller of X Xᵀ and Xᵀ X, which have the same nonzero eigenvalues."""
    return outer_product(x if x.shape[0] <= x.shape[1] else x.T)


def class_blocks(y: jax.Array, num_classes: int) -> tuple[jax.Array, jax.Array]:
    """Splits samples into blocks of a single class each, with static shapes.

    Args:
      y: labels, integer [n]; samples with a label outside [0, num_classes) are omitted.
      num_classes: number of classes C.

    Returns:
      `(rows, owner)`: indices of samples [m, b], padded with n, and the class of each block [m],
      for m = n // b + C blocks of b samples; empty blocks come last.
    """
    n = y.shape[0]
    # A quarter of the mean class size, because half a block per class is padding on average.
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
    """Returns the indices that sort y, integers in [0, largest]."""
    n = y.shape[0]
    if (largest + 1) * n > 2**31:
        return jnp.argsort(y)
    # Sorting one array of integers is four times faster than argsort, which sorts pairs.
    y = y.astype(jnp.int32)
    return jnp.sort(y * n + jnp.arange(n, dtype=jnp.int32)) % n


def class_moments(x: jax.Array, y: jax.Array, num_classes: int) -> jax.Array:
    """Second moments per class, `A_c = Σ_{i: y_i = c} x_i x_iᵀ`.

    Rows are sorted by class and multiplied block by block, in `2 n d²` operations; a product with
    one-hot labels would need C times as many.

    Args:
      x: rows, float [n, d].
      y: labels, integer [n]; rows with a label outside [0, num_classes) are omitted.
      num_classes: number of classes C.

    Returns:
      Moments [C, d, d].
    """
    rows, owner = class_blocks(y, num_classes)

    def moment(rows: jax.Array) -> jax.Array:
        x_block = x.at[rows].get(mode="fill", fill_value=0)
        return matmul(x_block.T, x_block)

    return jax.ops.segment_sum(jax.lax.map(moment, rows), owner, num_segments=num_classes)


def head_coordinates(w_hat: jax.Array) -> jax.Array:
    """Returns coordinates [C, min(C, d)] of the rows of w_hat [C, d] with the same inner products.

    Where C < d, they refer to an orthonormal basis of the span of the rows, transported without
    rotation when the rows move. First derivatives are therefore exact even where w_hat loses rank
    (for example at collapse). Second derivatives are exact along directions that preserve the
    rank; a rising rank would need additional coordinates.
    """
    return w_hat if w_hat.shape[0] >= w_hat.shape[1] else _coordinates(w_hat)


@jax.custom_jvp
def _coordinates(w: jax.Array) -> jax.Array:
    return matmul(w, _row_space(w))


@_coordinates.defjvp
def _coordinates_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (w,), (dw,) = primals, tangents
    basis = _row_space(w)
    return matmul(w, basis), matmul(dw, basis)


@jax.custom_jvp
def _row_space(w: jax.Array) -> jax.Array:
    """Returns an orthonormal basis [d, C] of a space that contains the rows of w [C, d]."""
    return jnp.linalg.qr(w.T)[0]


@_row_space.defjvp
def _row_space_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (w,), (dw,) = primals, tangents
    basis = _row_space(w)
    within = matmul(matmul(dw, basis), basis.T)
    inverse = jnp.linalg.pinv(matmul(w, basis))
    return basis, matmul((dw - within).T, inverse.T)


def joint_moment(moments: jax.Array, coordinates: jax.Array) -> jax.Array:
    """Second moment of `z_i ⊗ k_{y_i}`, `Σ_c A_c ⊗ k_c k_cᵀ`.

    Args:
      moments: A_c, float [C, d, d].
      coordinates: k_c, float [C, r].

    Returns:
      Matrix [d r, d r]. It has the nonzero eigenvalues of G(Z) ∘ G(V) if A are the moments of
      normalised features and k the coordinates of normalised head rows.
    """
    c, d, _ = moments.shape
    r = coordinates.shape[1]
    pairs = (coordinates[:, :, None] * coordinates[:, None, :]).reshape(c, r * r)
    joint = matmul(moments.reshape(c, d * d).T, pairs)
    return joint.reshape(d, d, r, r).transpose(0, 2, 1, 3).reshape(d * r, d * r)
