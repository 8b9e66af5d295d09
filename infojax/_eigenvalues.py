"""Eigenvalues of symmetric matrices, and which of them are zero up to rounding."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from infojax import _checks

_Pair = tuple[jax.Array, jax.Array]


def eigenvalues(k: ArrayLike) -> jax.Array:
    """Returns the eigenvalues of symmetric matrices in ascending order.

    Args:
      k: symmetric matrices, float32 or float64 [..., n, n]; one triangle is used.

    Returns:
      Eigenvalues [..., n], as accurate as LAPACK's: to a few roundings of the largest magnitude.
      NaN if k contains NaN, or inf in the triangle that is used. On CPU they are computed by
      tridiagonal reduction and bisection, without the eigenvectors that `jnp.linalg.eigvalsh`
      computes there and discards. Other platforms use `jnp.linalg.eigvalsh`.

    Raises:
      ValueError: k is not square or not real, or n exceeds 32,766, the limit of LAPACK's 32-bit
        workspace size.
    """
    k = _checks.square("k", k)
    check_size(k)
    if k.shape[-1] == 1:
        return k[..., 0]
    largest = jnp.max(jnp.abs(k), (-2, -1), keepdims=True)
    limit = float(np.finfo(k.dtype).max)
    safe = limit**0.25  # up to here, squares do not overflow
    outside = ~(largest < safe) | ((largest < 1 / safe) & (largest > 0))
    # XLA divides by a shared number through its inverse, which is 0 beyond a quarter of the limit.
    scale = jnp.where(outside, jnp.minimum(largest, limit / 8), 1)
    w: jax.Array = jax.lax.platform_dependent(
        k / scale, cpu=_by_bisection, default=jnp.linalg.eigvalsh
    )
    return w * scale[..., 0]


def decomposition(k: jax.Array) -> _Pair:
    """Returns the eigenvalues [..., n] and eigenvectors, as columns, of symmetric k [..., n, n]."""
    w, v = jnp.linalg.eigh(_by_columns(k), symmetrize_input=False)
    return w, v


def check_size(k: jax.Array) -> None:
    """Raises if matrices [..., n, n] are too large for a dense eigensolver."""
    if k.shape[-1] > 32_766:
        raise ValueError(
            f"dense eigensolvers are limited to 32,766 rows, got shape {k.shape}; use fewer "
            "samples, or infojax.population, whose cost does not depend on the number of samples"
        )


def _by_columns(k: jax.Array) -> jax.Array:
    """Returns symmetric matrices as LAPACK stores them; otherwise XLA transposes them in memory."""
    return jnp.swapaxes(k, -1, -2)


def _by_bisection(k: jax.Array) -> jax.Array:
    one_by_one = jax.custom_batching.sequential_vmap(_tridiagonal)
    reduced: _Pair = jnp.vectorize(one_by_one, signature="(n,n)->(n),(m)")(k)
    return bisect(*reduced)


def _tridiagonal(k: jax.Array) -> _Pair:
    """Returns diagonal [n] and off-diagonal [n - 1] of a tridiagonal matrix with k's eigenvalues.

    Batches are loops: batched LAPACK calls of jaxlib 0.10 wait for parts of their work on the same
    threads that must compute them, so as many concurrent calls as there are threads deadlock.
    """
    _, diagonal, off_diagonal, _ = jax.lax.linalg.tridiagonal(_by_columns(k), lower=True)
    return diagonal, off_diagonal


def bisect(diagonal: jax.Array, off_diagonal: jax.Array) -> jax.Array:
    """Returns the eigenvalues of symmetric tridiagonal matrices in ascending order.

    All eigenvalues are bisected at once, to a sixteenth of a rounding of the largest magnitude:
    the many null eigenvalues of a matrix share an interval and thus an error, which adds up.
    `jax.scipy.linalg.eigh_tridiagonal` of JAX 0.10 divides 0 by 0 at some matrices that split.

    Args:
      diagonal: float [..., n], n > 1.
      off_diagonal: float [..., n - 1].

    Returns:
      Eigenvalues [..., n].

    References:
      Demmel, Dhillon & Ren 1995, On the correctness of some bisection-like parallel eigenvalue
      algorithms in floating point arithmetic.
    """
    n = diagonal.shape[-1]
    low, high = _bounds(diagonal, off_diagonal)
    count = _sturm_count(diagonal, off_diagonal)
    index = jax.lax.broadcasted_iota(jnp.int32, diagonal.shape, diagonal.ndim - 1)
    # A grid of n points replaces the first log2(n + 1) steps, which most eigenvalues share.
    width = (high - low) / (n + 1)
    counts = count(low + width * (index + 1).astype(width.dtype))
    points_below = jnp.sum(counts[..., :, None] <= index[..., None, :], -2).astype(width.dtype)

    def halve(_: int, interval: _Pair) -> _Pair:
        high, width = interval
        middle = high - width / 2
        return jnp.where(count(middle) > index, middle, high), width / 2

    # The upper end stays: a representable eigenvalue is then returned exactly.
    high = low + width * (points_below + 1)
    steps = np.finfo(width.dtype).nmant + 5 - (n + 1).bit_length()
    high, width = jax.lax.fori_loop(0, steps, halve, (high, width))
    w: jax.Array = high - width / 2
    return w


def _bounds(diagonal: jax.Array, off_diagonal: jax.Array) -> _Pair:
    """Returns Gershgorin's bounds on the eigenvalues, widened by rounding, each [..., 1]."""
    magnitude = jnp.abs(off_diagonal)
    zero = jnp.zeros_like(magnitude[..., :1])
    radius = jnp.concatenate([magnitude, zero], -1) + jnp.concatenate([zero, magnitude], -1)
    low = jnp.min(diagonal - radius, -1, keepdims=True)
    high = jnp.max(diagonal + radius, -1, keepdims=True)
    units: float = 2.1 * diagonal.shape[-1] * np.finfo(low.dtype).eps
    slack = units * jnp.maximum(jnp.abs(low), jnp.abs(high))
    return low - slack, high + slack


def _sturm_count(diagonal: jax.Array, off_diagonal: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """Returns the function that counts the eigenvalues below each of x [..., m].

    There are as many as negative pivots in the factorisation `T - x I = L D Lᵀ`. A pivot that is
    zero or nearly so becomes the smallest negative one that can be divided by, as in LAPACK.
    """
    squares = jnp.concatenate([jnp.zeros_like(off_diagonal[..., :1]), off_diagonal**2], -1)
    tiny: float = np.finfo(squares.dtype).tiny
    smallest = tiny * jnp.maximum(1, jnp.max(squares, -1, keepdims=True))
    rows = [jnp.moveaxis(x, -1, 0)[..., None] for x in (diagonal, squares)]

    def count(x: jax.Array) -> jax.Array:
        def next_row(state: _Pair, row: list[jax.Array]) -> tuple[_Pair, None]:
            pivot, negative = state
            pivot = row[0] - x - row[1] / pivot
            is_negative = pivot <= smallest
            pivot = jnp.where(is_negative, jnp.minimum(pivot, -smallest), pivot)
            return (pivot, negative + is_negative.astype(jnp.int32)), None

        start = jnp.ones_like(x), jnp.zeros_like(x, jnp.int32)
        (_, negative), _ = jax.lax.scan(next_row, start, rows, unroll=4)  # the fastest of 1 to 32
        return negative

    return count


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
