"""Sufficient statistics of the features of a data set: one pass, mergeable, of fixed size."""

import dataclasses
import functools
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from infojax import _checks
from infojax._meshes import replicated
from infojax.population import collecting, scales, shards
from infojax.population.sums import Sums

Tree = TypeVar("Tree")
_FIELDS = [field.name for field in dataclasses.fields(Sums)]


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=_FIELDS[:-1], meta_fields=_FIELDS[-1:]
)
@dataclasses.dataclass(frozen=True)
class Statistics(Sums):
    """Statistics of N samples in C classes, for entropies, MIR, HDR and neural collapse; a pytree.

    There is one slot per class, or fewer where few of the classes occur: C only bounds the labels.
    Sums are kept as a rounded value and its rounding error, see `infojax.population.compensated`:
    the error does not grow with N. Raw features are divided by a common scale, are summed about a
    reference per class, so that large means cost no digits, and their second moments are kept about
    the class means (Chan, Golub & LeVeque 1983), so that nothing cancels at collapse.

    A NaN or inf feature, or under jit a label out of range or too many classes, makes the sums NaN,
    and with them every number computed from the statistics.

    Attributes:
      classes: class of each slot, int32 [m]; C for an empty slot.
      counts: samples per slot, int32 [m].
      moment_pairs: `A_c = Σ ẑ_i ẑ_iᵀ` of the normalised features, float [m, 2, d, d].
      references: mean of the first samples of each class, rounded, in units of scale, float [m, d].
      sum_pairs: `Σ (z_i - reference)` of the raw features, in units of scale, float [m, 2, d].
      scatter_pair: `Σ_c Σ_{i in c} (z_i - μ_c)(z_i - μ_c)ᵀ` of raw features in units of scale,
        float [2, d, d].
      scale: power of two near the largest magnitude of a feature, float [].
      num_classes: C; not an array.
    """

    @classmethod
    def zeros(
        cls, c: int, d: int, dtype: DTypeLike | None = None, *, capacity: int | None = None
    ) -> "Statistics":
        """Statistics of no samples.

        Args:
          c: number of classes C, at least 1.
          d: number of features, at least 1.
          dtype: float32 or float64; the default float dtype if None.
          capacity: largest number m of classes that occur; C if None.

        Returns:
          Zero statistics; `4 (2 m d² + 3 m d + 2 d² + 2 m + 1)` bytes in float32.

        Raises:
          ValueError: c, d or capacity is not a positive integer, or dtype is neither float32 nor
            float64.

        >>> Statistics.zeros(10, 128).moments.shape
        (10, 128, 128)
        >>> Statistics.zeros(50_000, 128, capacity=10).moments.shape
        (10, 128, 128)
        """
        c, d = _checks.integer("c", c), _checks.integer("d", d)
        m = c if capacity is None else min(c, _checks.integer("capacity", capacity))
        if c < 1 or d < 1 or m < 1:
            raise ValueError(
                "statistics require c >= 1, d >= 1 and capacity >= 1, "
                f"got c = {c}, d = {d}, capacity = {capacity}"
            )
        dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
        if dtype not in (jnp.float32, jnp.float64):
            raise ValueError(f"statistics must have dtype float32 or float64, got {dtype}")
        return cls(
            jnp.arange(c, dtype=jnp.int32) if m == c else jnp.full(m, c, jnp.int32),
            jnp.zeros(m, jnp.int32),
            jnp.zeros((m, 2, d, d), dtype),
            jnp.zeros((m, d), dtype),
            jnp.zeros((m, 2, d), dtype),
            jnp.zeros((2, d, d), dtype),
            scales.smallest(dtype),
            c,
        )

    def update(self, z: ArrayLike, y: ArrayLike, mask: ArrayLike | None = None) -> "Statistics":
        """Returns the statistics with a batch added.

        Takes `4 n d²` operations, half of them for the moments per class and half for the scatter.
        Each call reads and writes the whole statistics, so a few batches of thousands of samples
        cost less than many small ones. A batch sharded over an explicit mesh is summed where it is.

        Args:
          z: features, floating [n, d] or [..., d]; converted to the dtype of the statistics.
          y: labels, integer [n] or [...], in [0, C).
          mask: bool [n] or [...]; samples with False are ignored, whatever z and y hold there.

        Returns:
          New statistics. A zero row has no direction: it enters the counts, sums and scatter, but
          adds nothing to the second moments of the normalised features.

        Raises:
          ValueError: wrong shapes or dtypes; the label of a sample that counts is outside [0, C);
            more classes than slots. Labels cannot be checked under jit, where they make the sums
            NaN instead.

        >>> import jax.numpy as jnp
        >>> s = Statistics.zeros(2, 3).update(2 * jnp.eye(3), jnp.array([0, 1, 1]))
        >>> s.counts.tolist(), s.moments[1].diagonal().tolist()
        ([1, 2], [0.0, 1.0, 1.0])
        """
        shape, d = np.shape(z)[:-1], self.references.shape[1]
        z = _checks.features("z", z, np.shape(y))
        if z.shape[1] != d:
            raise ValueError(f"z must have {d} columns, like the statistics, got shape {z.shape}")
        y = _checks.labels("y", y, *shape).reshape(-1)
        kept = _checks.mask(mask, shape)
        kept = jnp.ones(y.shape, bool) if kept is None else kept
        _check_labels(self, y, kept)
        if shards.sample_axes(z):
            empty = Statistics.zeros(
                self.num_classes, d, self.sum_pairs.dtype, capacity=self.classes.shape[0]
            )
            updated: Statistics = _merge(self, shards.collect(empty, z, y, kept))
        else:
            updated = _add(self, z, y, kept)
        return updated

    def merge(self, other: "Statistics") -> "Statistics":
        """Returns the statistics of both sets of samples; the order matters only in rounding.

        Args:
          other: statistics of as many classes and features, and of the same dtype. The result has
            the larger of the two capacities.

        Returns:
          New statistics.

        Raises:
          ValueError: classes, features or dtypes differ; more classes than slots, which under jit
            makes the sums NaN instead.

        >>> import jax.numpy as jnp
        >>> s = Statistics.zeros(2, 3).update(jnp.eye(3), jnp.array([0, 1, 1]))
        >>> s.merge(s).counts.tolist()
        [2, 4]
        """
        shapes = [(s.num_classes, s.references.shape[1]) for s in (self, other)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                "statistics to merge must agree in classes and features, got [C, d] = "
                f"{list(shapes[0])} and {list(shapes[1])}"
            )
        _checks.same_dtype("self", self.sum_pairs, "other", other.sum_pairs)
        if self.classes.shape[0] < other.classes.shape[0]:
            return other.merge(self)
        _check_capacity(self, other.classes)
        merged: Statistics = _merge(self, other)
        return merged

    def psum(self, axis_name: str | tuple[str, ...]) -> "Statistics":
        """Returns the statistics of all devices' samples, inside pmap, shard_map or vmap.

        Args:
          axis_name: name or names of the mapped axes.

        Returns:
          New statistics, the same on every device; NaN if the devices together hold more classes
          than one has slots.
        """
        return collecting.psum(self, axis_name)


_add = replicated(collecting.add)
_merge = replicated(collecting.merge)


def head(statistics: Statistics, w: ArrayLike) -> jax.Array:
    """Returns the head [C, d] as an array, if it matches the statistics."""
    w = _checks.real_array("w", w, ndim=2)
    shape = statistics.num_classes, statistics.references.shape[1]
    if w.shape != shape:
        raise ValueError(f"w must have shape {shape} to match the statistics, got {w.shape}")
    _checks.same_dtype("statistics", statistics.sum_pairs, "w", w)
    return w


def is_usable(statistics: Statistics, *others: jax.Array) -> jax.Array:
    """Whether the statistics hold samples, and neither they nor others NaN or inf, bool []."""
    finite = [jnp.all(jnp.isfinite(x)) for x in (statistics.sum_pairs, *others)]
    return functools.reduce(jnp.logical_and, finite) & jnp.any(statistics.counts > 0)


def nan_unless(usable: jax.Array, tree: Tree) -> Tree:
    """Returns the tree if usable, otherwise with NaN for all its floats."""

    def mark(x: jax.Array) -> jax.Array:
        return _checks.nan_unless(usable, x) if jnp.issubdtype(x.dtype, jnp.floating) else x

    marked: Tree = jax.tree.map(mark, tree)
    return marked


def is_known(*arrays: ArrayLike) -> bool:
    """Whether the values are accessible: not under jit, nor on devices of other processes."""
    traced = any(isinstance(x, jax.core.Tracer) for x in arrays)
    return not traced and all(x.is_fully_addressable for x in map(jnp.asarray, arrays))


def _check_labels(statistics: Statistics, y: jax.Array, mask: jax.Array) -> None:
    if not is_known(y, mask):
        return
    known, c = np.asarray(y)[np.asarray(mask)], statistics.num_classes
    if known.size and (known.min() < 0 or known.max() >= c):
        raise ValueError(f"y must hold labels in [0, {c}), got {known.min()} to {known.max()}")
    _check_capacity(statistics, known)


def _check_capacity(statistics: Statistics, new: ArrayLike) -> None:
    if statistics.is_dense or not is_known(statistics.classes, new):
        return
    held = np.union1d(np.asarray(statistics.classes), np.asarray(new))
    number, m = int(np.sum(held < statistics.num_classes)), statistics.classes.shape[0]
    if number > m:
        raise ValueError(
            f"the samples are of {number} classes, but the statistics have {m} slots; "
            f"set capacity={number} or more in Statistics.zeros"
        )
