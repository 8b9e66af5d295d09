"""Sufficient statistics of the features of a data set: one pass, mergeable, of fixed size."""

import functools
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from infojax import _checks, moments
from infojax.population import compensated

Tree = TypeVar("Tree")


class Statistics(NamedTuple):
    """Statistics of N samples in C classes, for entropies, MIR, HDR and neural collapse; a pytree.

    Sums are kept as a rounded value and its rounding error, see `infojax.population.compensated`:
    the error does not grow with N. Second moments of raw features are kept about the class means
    (Chan, Golub & LeVeque 1983), so nothing cancels when features collapse onto large means.

    A NaN or inf feature, or under jit a label out of range, makes the sums NaN, and with them
    every number computed from the statistics.

    Attributes:
      counts: samples per class, int32 [C].
      moment_pairs: `A_c = Σ ẑ_i ẑ_iᵀ` of the normalised features, float [C, 2, d, d].
      sum_pairs: sums of the raw features per class, float [C, 2, d].
      scatter_pair: `Σ_c Σ_{i in c} (z_i - μ_c)(z_i - μ_c)ᵀ` of raw features, float [2, d, d].
    """

    counts: jax.Array
    moment_pairs: jax.Array
    sum_pairs: jax.Array
    scatter_pair: jax.Array

    @classmethod
    def zeros(cls, c: int, d: int, dtype: DTypeLike | None = None) -> "Statistics":
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
            raise ValueError(f"statistics require c >= 1 and d >= 1, got c = {c}, d = {d}")
        dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
        if dtype not in (jnp.float32, jnp.float64):
            raise ValueError(f"statistics must have dtype float32 or float64, got {dtype}")
        return cls(
            jnp.zeros(c, jnp.int32),
            jnp.zeros((c, 2, d, d), dtype),
            jnp.zeros((c, 2, d), dtype),
            jnp.zeros((2, d, d), dtype),
        )

    @property
    def moments(self) -> jax.Array:
        """Second moments of the normalised features per class, A_c [C, d, d]."""
        return self.moment_pairs[:, 0] + self.moment_pairs[:, 1]

    @property
    def sums(self) -> jax.Array:
        """Sums of the raw features per class [C, d]."""
        return self.sum_pairs[:, 0] + self.sum_pairs[:, 1]

    @property
    def means(self) -> jax.Array:
        """Means of the raw features per class [C, d]; zero for a class without samples."""
        return self.sums / jnp.maximum(self.counts, 1).astype(self.sum_pairs.dtype)[:, None]

    @property
    def mean(self) -> jax.Array:
        """Mean of all raw features [d]; zero without samples."""
        total = jnp.maximum(jnp.sum(self.counts), 1).astype(self.sum_pairs.dtype)
        return jnp.sum(self.sums, 0) / total

    @property
    def centred_means(self) -> jax.Array:
        """Means of the raw features per class minus the mean of all [C, d].

        Zero for a class without samples; all zero if every one is zero up to rounding.
        """
        centred = jnp.where((self.counts > 0)[:, None], self.means - self.mean[None], 0)
        rounding = 8 * np.finfo(centred.dtype).eps * jnp.max(jnp.abs(self.means))
        return jnp.where(jnp.max(jnp.abs(centred)) <= rounding, 0, centred)

    @property
    def scatter(self) -> jax.Array:
        """Scatter of the raw features about their class means, summed over samples [d, d]."""
        return self.scatter_pair[0] + self.scatter_pair[1]

    def update(self, z: ArrayLike, y: ArrayLike, mask: ArrayLike | None = None) -> "Statistics":
        """Returns the statistics with a batch added.

        Takes `4 n d²` operations, half of them for the moments per class and half for the scatter.
        Each call reads and writes the whole statistics, so a few batches of thousands of samples
        cost less than many small ones.

        Args:
          z: features, floating [n, d]; converted to the dtype of the statistics.
          y: labels, integer [n], in [0, C).
          mask: bool [n]; samples with False are ignored, whatever z and y hold there.

        Returns:
          New statistics. A zero row has no direction: it enters the counts, sums and scatter, but
          adds nothing to the second moments of the normalised features.

        Raises:
          ValueError: wrong shapes or dtypes; the label of a sample that counts is outside [0, C).
            Labels cannot be checked under jit, where such a label makes the sums NaN instead.

        >>> import jax.numpy as jnp
        >>> s = Statistics.zeros(2, 3).update(2 * jnp.eye(3), jnp.array([0, 1, 1]))
        >>> s.counts.tolist(), s.moments[1].diagonal().tolist()
        ([1, 2], [0.0, 1.0, 1.0])
        """
        z = _checks.real_array("z", z, ndim=2)
        c, d = self.sum_pairs.shape[0], self.sum_pairs.shape[2]
        if z.shape[1] != d:
            raise ValueError(f"z must have {d} columns, like the statistics, got shape {z.shape}")
        y = _checks.labels("y", y, z.shape[0])
        mask = jnp.ones(y.shape, bool) if mask is None else jnp.asarray(mask)
        if mask.dtype != bool or mask.shape != y.shape:
            raise ValueError(f"mask must be bool {y.shape}, got {mask.dtype} {mask.shape}")
        if not isinstance(y, jax.core.Tracer) and not isinstance(mask, jax.core.Tracer):
            _check_labels(np.asarray(y)[np.asarray(mask)], c)
        updated: Statistics = _update(self, z, y, mask)
        return updated

    def merge(self, other: "Statistics") -> "Statistics":
        """Returns the statistics of both sets of samples; the order matters only in rounding.

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
                "statistics to merge must agree in classes and features, got sums of shape "
                f"{self.sums.shape} and {other.sums.shape}"
            )
        _checks.same_dtype("self", self.sum_pairs, "other", other.sum_pairs)
        merged: Statistics = _merge(self, other)
        return merged

    def psum(self, axis_name: str | tuple[str, ...]) -> "Statistics":
        """Returns the statistics of all devices' samples, inside pmap, shard_map or vmap.

        Args:
          axis_name: name or names of the mapped axes.

        Returns:
          New statistics, the same on every device.
        """
        total = Statistics(*jax.lax.psum(tuple(self), axis_name))
        shift = self.means - total.means
        between = compensated.weighted_outer(shift, self.counts)
        return total._replace(
            scatter_pair=total.scatter_pair.at[1].add(jax.lax.psum(between, axis_name))
        )


def is_usable(statistics: Statistics, *others: jax.Array) -> jax.Array:
    """Whether the statistics hold samples, and neither they nor others NaN or inf, bool []."""
    finite = [jnp.isfinite(jnp.sum(x)) for x in (statistics.sum_pairs, *others)]
    return functools.reduce(jnp.logical_and, finite) & jnp.any(statistics.counts > 0)


def nan_unless(usable: jax.Array, tree: Tree) -> Tree:
    """Returns the tree if usable, otherwise with NaN for all its floats."""

    def mark(x: jax.Array) -> jax.Array:
        return jnp.where(usable, x, jnp.nan) if jnp.issubdtype(x.dtype, jnp.floating) else x

    marked: Tree = jax.tree.map(mark, tree)
    return marked


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
    size = compensated.block_size(n, c)
    # Under shard_map, loops require that this zero varies over the axes of all arguments.
    anchor = (z[0, 0] == 0) & (y[0] == 0) & (statistics.counts[0] == 0)
    zero = jnp.where(anchor, 0, 0).astype(z.dtype)
    order = jnp.pad(moments.sorted_order(y, c), (0, size), constant_values=n)

    def add_class(
        scatter: jax.Array, of_class: tuple[jax.Array, ...]
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        old_count, moment, total, start, new = of_class

        def add_block(i: jax.Array, carry: compensated.ClassSums) -> compensated.ClassSums:
            rows = jax.lax.dynamic_slice(order, (start + i * size,), (size,))
            rows = jnp.where(jnp.arange(size, dtype=new.dtype) < new - i * size, rows, n)
            return compensated.add_block(carry, z.at[rows].get(mode="fill", fill_value=0), rows < n)

        blocks = -(-new // size)
        before = zero + old_count.astype(z.dtype), zero + moment, zero + total, scatter
        after = jax.lax.fori_loop(0, blocks, add_block, compensated.ClassSums(*before))
        return after.scatter, (old_count + new, after.moment, after.total)

    scatter, by_class = jax.lax.scan(
        add_class,
        zero + jnp.zeros_like(statistics.scatter),
        (statistics.counts, statistics.moment_pairs, statistics.sum_pairs, start, new),
    )
    counts, moment_pairs, sum_pairs = by_class
    scatter_pair = compensated.add(statistics.scatter_pair, scatter)
    return Statistics(counts, moment_pairs, sum_pairs + poison, scatter_pair)


@jax.jit
def _merge(a: Statistics, b: Statistics) -> Statistics:
    n, m = a.counts.astype(a.sums.dtype), b.counts.astype(b.sums.dtype)
    weight = n * m / jnp.maximum(n + m, 1)
    merge_classes = jax.vmap(compensated.merge)
    scatter = compensated.merge(a.scatter_pair, b.scatter_pair)
    return Statistics(
        a.counts + b.counts,
        merge_classes(a.moment_pairs, b.moment_pairs),
        merge_classes(a.sum_pairs, b.sum_pairs),
        compensated.add(scatter, compensated.weighted_outer(a.means - b.means, weight)),
    )
