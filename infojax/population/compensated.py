"""Sums over many samples, kept as pairs [2, ...]: a rounded value and its rounding error.

The error that each addition leaves behind is carried along (Kahan-Babuska-Neumaier), and samples
are added in blocks of one class. A sum is therefore as accurate as a product over one block, at
most about 1,000 samples: its error does not grow with the number of samples.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from infojax import moments
from infojax._products import matmul


class ClassSums(NamedTuple):
    """Sums of one class: number of samples, second moment of unit rows [2, d, d], total [2, d].

    The total is of rows minus a reference [d], the rounded mean of the first block. The scatter
    about the class means [d, d] is a running sum over all classes.
    """

    samples: jax.Array
    moment: jax.Array
    reference: jax.Array
    total: jax.Array
    scatter: jax.Array


def add(pair: jax.Array, x: jax.Array) -> jax.Array:
    """Adds x to a sum (Knuth's two-sum)."""
    value, error = pair[0], pair[1]
    total = value + x
    part = total - value
    return jnp.stack([total, error + ((value - (total - part)) + (x - part))])


def merge(pair: jax.Array, other: jax.Array) -> jax.Array:
    """Adds two sums."""
    return add(add(pair, other[0]), other[1])


def add_block(sums: ClassSums, block: jax.Array, inside: jax.Array, scale: jax.Array) -> ClassSums:
    """Adds rows of one class; rows that are not inside are zero padding.

    Totals, reference and scatter are of the rows divided by the scale.
    """
    count = jnp.maximum(jnp.sum(inside), 1).astype(block.dtype)
    rows = block / scale
    reference = jnp.where(sums.samples == 0, jnp.sum(rows, 0) / count, sums.reference)
    offsets = jnp.where(inside[:, None], rows - reference[None], 0)
    new_sum = jnp.sum(offsets, 0)
    mean = new_sum / count
    shift = mean - jnp.sum(sums.total, 0) / jnp.maximum(sums.samples, 1)
    centred = jnp.where(inside[:, None], offsets - mean[None], 0)
    weight = sums.samples * count / (sums.samples + count)
    scatter = sums.scatter + second_moment(centred) + weight * shift[:, None] * shift[None]
    moment = add(sums.moment, second_moment(moments.unit_rows(block)))
    return ClassSums(sums.samples + count, moment, reference, add(sums.total, new_sum), scatter)


def block_size(n: int, c: int) -> int:
    """Rows per block of n samples in c classes: about 1,000, or a whole class of average size.

    This makes few blocks, each of which costs an addition to a d x d sum, with little padding.
    """
    expected = n / c
    blocks = max(1, round(expected / 1000))
    return max(16, math.ceil((expected + 3 * math.sqrt(expected)) / blocks))


def second_moment(x: jax.Array) -> jax.Array:
    """Xᵀ X [d, d] of x [n, d]."""
    return matmul(x.T, x)


def weighted_outer(rows: jax.Array, weight: jax.Array) -> jax.Array:
    """Σ_c weight_c rows_c rows_cᵀ [d, d] of rows [C, d]."""
    return second_moment(jnp.sqrt(weight.astype(rows.dtype))[:, None] * rows)
