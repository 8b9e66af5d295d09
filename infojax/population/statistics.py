"""Sufficient statistics of a data set's features: one pass, mergeable, memory without the N."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from infojax import _checks, moments

_HIGHEST = jax.lax.Precision.HIGHEST


class Statistics(NamedTuple):
    """What entropies, MIR, HDR and neural collapse need of N samples in C classes; a pytree.

    Sums are kept as two numbers, a rounded value and the rounding error that it left behind
    (Kahan-Babuska-Neumaier), and are added block by block of one class. The error of a sum is
    therefore that of a product over one block, some 1,000 samples at most, and does not grow with
    N. Second moments of raw features are kept about the class means (Chan, Golub & LeVeque
    1983), so nothing cancels when features collapse onto large means.

    A NaN or inf feature, or under jit a label out of range, makes the sums NaN, and with them
    every number that is computed from the statistics.

    Attributes:
      counts: samples of each class, int32 [C].
      moment_pairs: `A_c = Σ ẑ_i ẑ_iᵀ` of the features divided by their norm, float [C, 2, d, d].
      sum_pairs: sums of the raw features of each class, float [C, 2, d].
      scatter_pair: `Σ_c Σ_{i in c} (z_i - μ_c)(z_i - μ_c)ᵀ` of raw features, float [2, d, d].
    """

    counts: jax.Array
    moment_pairs: jax.Array
    sum_pairs: jax.Array
    scatter_pair: jax.Array

    @classmethod
    def zeros(cls, c: int, d: int, dtype=None) -> "Statistics":
        """Statistics of no samples.

        Args:
          c: number of classes C, at least 1.
          d: number of features, at least 1.
          dtype: float32 or float64; the default float dtype if None.

        Returns:
          Zero statistics; `4 (2 C d² + 2 C d + 2 d²)` bytes in float32.

        Raises:
          ValueError: c or d is not a positive integer, or dtype is neither float32 nor float64.

        >>> Statistics.zeros(10, 128).moments.shape
        (10, 128, 128)
        """
        c, d = _checks.integer("c", c), _checks.integer("d", d)
        if c < 1 or d < 1:
            raise ValueError(f"statistics need c >= 1 and d >= 1, got c = {c}, d = {d}")
        dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
        if dtype not in (jnp.float32, jnp.float64):
            raise ValueError(f"statistics are kept in float32 or float64, got dtype {dtype}")
        return cls(
            jnp.zeros(c, jnp.int32),
            jnp.zeros((c, 2, d, d), dtype),
            jnp.zeros((c, 2, d), dtype),
            jnp.zeros((2, d, d), dtype),
        )

    @property
    def moments(self) -> jax.Array:
        """Second moments of normalised features by class, A_c [C, d, d]."""
        return self.moment_pairs[:, 0] + self.moment_pairs[:, 1]

    @property
    def sums(self) -> jax.Array:
        """Sums of raw features by class [C, d]."""
        return self.sum_pairs[:, 0] + self.sum_pairs[:, 1]

    @property
    def means(self) -> jax.Array:
        """Means of raw features by class [C, d]; zero for a class without samples."""
        return self.sums / jnp.maximum(self.counts, 1).astype(self.sum_pairs.dtype)[:, None]

    @property
    def mean(self) -> jax.Array:
        """Mean of all raw features [d]; zero without samples."""
        total = jnp.maximum(jnp.sum(self.counts), 1).astype(self.sum_pairs.dtype)
        return jnp.sum(self.sums, 0) / total

    @property
    def centred_means(self) -> jax.Array:
        """Means of raw features by class minus the mean of all [C, d].

        Zero for a class without samples, and all zero where they are so up to rounding.
        """
        centred = jnp.where((self.counts > 0)[:, None], self.means - self.mean[None], 0)
        rounding = 8 * jnp.finfo(centred.dtype).eps * jnp.max(jnp.abs(self.means))
        return jnp.where(jnp.max(jnp.abs(centred)) <= rounding, 0, centred)

    @property
    def scatter(self) -> jax.Array:
        """Scatter of raw features about their class means, summed over samples [d, d]."""
        return self.scatter_pair[0] + self.scatter_pair[1]

    def update(self, z: ArrayLike, y: ArrayLike, mask: ArrayLike | None = None) -> "Statistics":
        """Statistics with a batch added.

        `4 N d²` operations in all, half of them for the moments by class and half for the
        scatter. Each call reads and writes the whole statistics, so batches of thousands of
        samples cost less than small ones.

        Args:
          z: features, floating [n, d]; widened or narrowed to the statistics' dtype.
          y: labels, integer [n], in [0, C).
          mask: bool [n]; samples with False do not count, whatever z and y hold there.

        Returns:
          New statistics. A zero row has no direction: it counts in `counts`, sums and scatter,
          and adds nothing to the second moments of normalised features.

        Raises:
          ValueError: wrong shapes or dtypes; a label that counts is outside [0, C), where that
            can be seen. Under jit it cannot, and such a label makes the sums NaN.

        >>> import jax.numpy as jnp
        >>> s = Statistics.zeros(2, 3).update(2 * jnp.eye(3), jnp.array([0, 1, 1]))
        >>> s.counts.tolist(), s.moments[1].diagonal().tolist()
        ([1, 2], [0.0, 1.0, 1.0])
        """
        z = _checks.real_array("z", z, ndim=2)
        c, d = self.sum_pairs.shape[0], self.sum_pairs.shape[2]
        if z.shape[1] != d:
            raise ValueError(f"z must have {d} columns, as the statistics, got shape {z.shape}")
        y = _checks.labels("y", y, z.shape[0])
        mask = jnp.ones(y.shape, bool) if mask is None else jnp.asarray(mask)
        if mask.dtype != bool or mask.shape != y.shape:
            raise ValueError(f"mask must be bool {y.shape}, got {mask.dtype} {mask.shape}")
        if not isinstance(y, jax.core.Tracer) and not isinstance(mask, jax.core.Tracer):
            _check_labels(np.asarray(y)[np.asarray(mask)], c)
        return _update(self, z, y, mask)

    def merge(self, other: "Statistics") -> "Statistics":
        """Statistics of both sets of samples, in any order up to rounding.

        Args:
          other: statistics of the same shape and dtype.

        Returns:
          New statistics.

        Raises:
          ValueError: the shapes or dtypes differ.

        >>> import jax.numpy as jnp
        >>> s = Statistics.zeros(2, 3).update(jnp.eye(3), jnp.array([0, 1, 1]))
        >>> s.merge(s).counts.tolist()
        [2, 4]
        """
        if self.sum_pairs.shape != other.sum_pairs.shape:
            raise ValueError(
                "statistics to merge must agree in classes and features, got sums of shapes "
                f"{self.sums.shape} and {other.sums.shape}"
            )
        _checks.same_dtype("self", self.sum_pairs, "other", other.sum_pairs)
        return _merge(self, other)

    def psum(self, axis_name) -> "Statistics":
        """Statistics of the samples of all devices, inside pmap, shard_map or vmap.

        Args:
          axis_name: name of the mapped axis, or several.

        Returns:
          New statistics, the same on each device.
        """
        total = Statistics(*jax.lax.psum(tuple(self), axis_name))
        shift = self.means - total.means
        between = _weighted_outer(shift, self.counts)
        return total._replace(
            scatter_pair=total.scatter_pair.at[1].add(jax.lax.psum(between, axis_name))
        )


def is_usable(statistics: Statistics, *others: jax.Array) -> jax.Array:
    """Whether there are samples, and neither they nor the other arrays held NaN or inf, bool []."""
    finite = [jnp.isfinite(jnp.sum(x)) for x in (statistics.sum_pairs, *others)]
    return functools.reduce(jnp.logical_and, finite) & jnp.any(statistics.counts > 0)


def nan_unless(usable: jax.Array, tree):
    """The tree, or NaN for all its floats."""

    def mark(x):
        return jnp.where(usable, x, jnp.nan) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(mark, tree)


def _check_labels(y: np.ndarray, c: int) -> None:
    if y.size and (y.min() < 0 or y.max() >= c):
        raise ValueError(f"y must hold labels in [0, {c}), got {y.min()} to {y.max()}")


@jax.jit
def _update(statistics: Statistics, z: jax.Array, y: jax.Array, mask: jax.Array) -> Statistics:
    z = z.astype(statistics.sum_pairs.dtype)
    n, c = y.shape[0], statistics.counts.shape[0]
    counted = mask & (y >= 0) & (y < c)
    poison = jnp.where(jnp.all(counted == mask), 0, jnp.nan).astype(z.dtype)
    y = jnp.where(counted, y.astype(jnp.int32), c)
    new = jnp.bincount(y, length=c + 1)[:c].astype(jnp.int32)
    start = jnp.cumsum(new) - new
    size = _block_size(n, c)
    # A zero that under shard_map varies over the axes of all arguments, as loops there insist.
    anchor = (z[0, 0] == 0) & (y[0] == 0) & (statistics.counts[0] == 0)
    zero = jnp.where(anchor, 0, 0).astype(z.dtype)
    order = jnp.pad(moments.sorted_order(y, c), (0, size), constant_values=n)

    def add_class(scatter, of_class):
        old_count, moment, total, start, new = of_class

        def add_block(i, carry):
            rows = jax.lax.dynamic_slice(order, (start + i * size,), (size,))
            rows = jnp.where(jnp.arange(size, dtype=new.dtype) < new - i * size, rows, n)
            return _add_block(carry, z.at[rows].get(mode="fill", fill_value=0), rows < n)

        blocks = -(-new // size)
        _, moment, total, scatter = jax.lax.fori_loop(
            0,
            blocks,
            add_block,
            (zero + old_count.astype(z.dtype), zero + moment, zero + total, scatter),
        )
        return scatter, (old_count + new, moment, total)

    scatter, by_class = jax.lax.scan(
        add_class,
        zero + jnp.zeros_like(statistics.scatter),
        (statistics.counts, statistics.moment_pairs, statistics.sum_pairs, start, new),
    )
    counts, moment_pairs, sum_pairs = by_class
    scatter_pair = _add(statistics.scatter_pair, scatter)
    return Statistics(counts, moment_pairs, sum_pairs + poison, scatter_pair)


def _block_size(n: int, c: int) -> int:
    """Rows multiplied at a time: some 1,000 or a whole class, if classes are of similar size.

    Few blocks, since each is added to a d x d sum, with little padding.
    """
    expected = n / c
    blocks = max(1, round(expected / 1000))
    return max(16, math.ceil((expected + 3 * math.sqrt(expected)) / blocks))


def _add_block(carry, block, inside):
    """Adds rows of one class, of which those not inside are zero padding."""
    old_count, moment, total, scatter = carry
    count = jnp.sum(inside).astype(block.dtype)
    new_sum = jnp.sum(block, 0)
    mean = new_sum / count
    shift = mean - jnp.sum(total, 0) / jnp.maximum(old_count, 1)
    centred = jnp.where(inside[:, None], block - mean[None], 0)
    weight = old_count * count / (old_count + count)
    scatter = scatter + _second_moment(centred) + weight * shift[:, None] * shift[None]
    moment = _add(moment, _second_moment(moments.unit_rows(block)))
    return old_count + count, moment, _add(total, new_sum), scatter


@jax.jit
def _merge(a: Statistics, b: Statistics) -> Statistics:
    n, m = a.counts.astype(a.sums.dtype), b.counts.astype(b.sums.dtype)
    weight = n * m / jnp.maximum(n + m, 1)
    both = jax.vmap(lambda pair, other: _add(_add(pair, other[0]), other[1]))
    scatter = _add(_add(a.scatter_pair, b.scatter_pair[0]), b.scatter_pair[1])
    return Statistics(
        a.counts + b.counts,
        both(a.moment_pairs, b.moment_pairs),
        both(a.sum_pairs, b.sum_pairs),
        _add(scatter, _weighted_outer(a.means - b.means, weight)),
    )


def _second_moment(x: jax.Array) -> jax.Array:
    return jnp.matmul(x.T, x, precision=_HIGHEST)


def _weighted_outer(rows: jax.Array, weight: jax.Array) -> jax.Array:
    """Σ_c weight_c rows_c rows_cᵀ."""
    return _second_moment(jnp.sqrt(weight.astype(rows.dtype))[:, None] * rows)


def _add(pair: jax.Array, x: jax.Array) -> jax.Array:
    """Adds x to a sum kept as value and error [2, ...] (Knuth's two-sum)."""
    value, error = pair[0], pair[1]
    total = value + x
    part = total - value
    return jnp.stack([total, error + ((value - (total - part)) + (x - part))])
