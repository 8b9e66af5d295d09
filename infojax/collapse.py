"""Neural collapse: the simplex equiangular tight frame, and the values reached there."""

import math

import jax
import jax.numpy as jnp
import numpy as np


def simplex_etf(c: int, d: int | None = None) -> jax.Array:
    """Simplex equiangular tight frame: c unit rows with pairwise inner product -1 / (c - 1).

    Built from the Helmert matrix, hence without randomness.

    Args:
      c: number of classes, at least 2.
      d: dimension of the rows, at least c - 1 (the default).

    Returns:
      Rows [c, d] of the default float dtype.

    Raises:
      ValueError: c < 2 or d < c - 1.

    References:
      Papyan, Han & Donoho 2020.

    >>> simplex_etf(2, 3).tolist()
    [[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]
    """
    d = c - 1 if d is None else d
    if c < 2 or d < c - 1:
        raise ValueError(f"a simplex ETF needs c >= 2 and d >= c - 1, got c = {c}, d = {d}")
    k = np.arange(1, c)
    helmert = np.where(np.arange(c)[:, None] < k, 1.0, 0.0)
    helmert[k, k - 1] = -k
    rows = np.zeros((c, d))
    rows[:, : c - 1] = helmert / np.sqrt(k * (k + 1)) * math.sqrt(c / (c - 1))
    return jnp.asarray(rows, dtype=jnp.result_type(float))


def mir_at_collapse(c: int) -> float:
    """MIR of features and head at neural collapse with balanced classes.

    `1/(C-1) + (C-2) log(C-2) / ((C-1) log(C-1))`, at the sample and at the class level; HDR is 0
    there. The Gram matrix of the frame has C - 1 equal eigenvalues, so the entropy is log(C-1).

    Args:
      c: number of classes C, at least 2.

    Returns:
      Ratio in [0, 1]; 0 at C = 2, where the entropies are zero (see `infojax.mir`).

    Raises:
      ValueError: c < 2.

    References:
      Song et al. 2024, theorem 4.2 and corollary 4.3.

    >>> round(mir_at_collapse(10), 4), round(mir_at_collapse(100), 4)
    (0.9524, 0.9978)
    """
    if c < 2:
        raise ValueError(f"neural collapse needs at least 2 classes, got c = {c}")
    if c == 2:
        return 0.0
    joint = (c - 2) * math.log(c - 2) / ((c - 1) * math.log(c - 1))
    return 1 / (c - 1) + joint
