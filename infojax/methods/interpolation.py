"""Linear interpolation of networks: parameters, BatchNorm statistics, error barriers."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from infojax import _checks, _trees


def interpolate(a: Any, b: Any, omega: ArrayLike) -> Any:
    r"""Point on the straight line between two networks, `(1 - ω) a + ω b`.

    Computed as `a + ω (b - a)` for ω < 1/2 and as `b - (1 - ω) (b - a)` otherwise. Hence ω = 0
    and ω = 1 give a and b exactly, equal leaves are unchanged at any ω, and the derivative with
    respect to ω is `b - a` everywhere.

    Args:
      a: any tree of arrays: parameters, or a dict with parameters and BatchNorm statistics.
      b: a tree with the same leaves.
      omega: ω [], which may be traced, so that one compilation serves all ω. Values outside
        [0, 1] extrapolate.

    Returns:
      A tree like a. Half precision is interpolated in float32 and rounded back. Leaves that are
      not floating (counters, flags, keys) cannot be interpolated; they are a's for ω < 1/2 and b's
      otherwise. NaN or inf in either leaf gives NaN.

    Raises:
      ValueError: the trees differ in structure, or in the shape or dtype of a leaf, which the
        message names; omega is not a single number.

    References:
      Goodfellow et al. 2015; Frankle et al. 2020, section 2.

    >>> a, b = {"kernel": jnp.array([0.0, 2.0])}, {"kernel": jnp.array([4.0, 2.0])}
    >>> interpolate(a, b, 0.25)["kernel"].tolist()
    [1.0, 2.0]
    """
    omega = jnp.asarray(omega, jnp.result_type(float))
    if omega.ndim:
        raise ValueError(f"omega must be one number, got shape {omega.shape}; jax.vmap takes many")
    _trees.check_same("a", a, "b", b, dtypes=True)
    return jax.tree.map(lambda x, y: _between(jnp.asarray(x), jnp.asarray(y), omega), a, b)


def _between(x: jax.Array, y: jax.Array, omega: jax.Array) -> jax.Array:
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return jnp.where(omega < 0.5, x, y)
    dtype = x.dtype if x.dtype.itemsize >= 4 else jnp.float32
    w, start, end = omega.astype(dtype), x.astype(dtype), y.astype(dtype)
    difference = end - start
    mixed = jnp.where(omega < 0.5, start + w * difference, end - (1 - w) * difference)
    return mixed.astype(x.dtype)


def barrier(errors: ArrayLike) -> jax.Array:
    r"""Error barrier of a path, `max_ω E(ω) - (E(0) + E(1)) / 2`.

    Two networks with a barrier near 0 are linearly mode connected.

    Args:
      errors: errors or losses along the path, floating [..., k], E(0) first and E(1) last.

    Returns:
      Barrier [...] in the units of the errors; never negative. NaN if an error is NaN.

    Raises:
      ValueError: fewer than two errors, or not floating.

    References:
      Frankle et al. 2020, section 2 ("error barrier height").

    >>> float(barrier([0.25, 1.0, 0.75]))
    0.5
    """
    errors = _checks.real_array("errors", errors)
    if errors.ndim == 0 or errors.shape[-1] < 2:
        raise ValueError(f"errors must hold two or more points, got shape {errors.shape}")
    return jnp.max(errors, -1) - (errors[..., 0] + errors[..., -1]) / 2


def recompute_batch_stats(
    apply: Callable[[Any, Any, Any], Any],
    params: Any,
    batch_stats: Any,
    batches: Any,
    axis_name: str | None = None,
) -> Any:
    r"""BatchNorm statistics of a network computed from data alone, ignoring its running averages.

    With `μ_i` and `v_i` the mean and variance of batch i of k, as each layer sees them in training
    mode,

    .. math:: \mu = \frac1k \sum_i \mu_i, \qquad
       v = \frac1k \sum_i v_i + \frac1k \sum_i (\mu_i - \mu)^2

    All batches have equal weight, unlike in a moving average. By the law of total variance, v is
    the variance of all samples together. The average of the v_i alone, which is also in use, lacks
    the variance between batches, which is larger for smaller batches.

    The network needs no change: each layer computes `new = m · old + (1 - m) · batch`, which is
    `(1 - m) · batch` for old statistics of zero and has the derivative m with respect to `old`. If
    m has more than six decimals, its rounding in float32 leaves a relative error of at most
    2e-7 / (1 - m).

    Outside jit, every call compiles again; jit a caller that runs repeatedly. The loop over
    batches runs on the device; `merge_batch_stats` allows a loop on the host.

    Args:
      apply: `apply(params, batch_stats, batch)` runs the network in training mode and returns the
        updated statistics, a tree like batch_stats. With flax linen, `model.apply({"params":
        params, "batch_stats": batch_stats}, batch, mutable=["batch_stats"])[1]["batch_stats"]`.
      params: parameters.
      batch_stats: floating leaves in pairs named `mean` and `var`; only names, shapes and dtypes
        are used.
      batches: an array or tree of arrays [k, n, ...]; apply receives k slices [n, ...].
      axis_name: mapped axis (pmap, shard_map) over which the batches are split, if any. Each
        device runs its own k batches, and all devices get the statistics of all batches.

    Returns:
      A tree like batch_stats. NaN if a jitted apply returns the statistics unchanged, which is an
      error otherwise.

    Raises:
      ValueError: batch_stats is empty (a network without BatchNorm) or has other leaves; apply
        returns another tree or does not run in training mode; batches are not stacked.

    References:
      Izmailov et al. 2018, section 3.2; Jordan et al. 2023 (REPAIR).

    >>> def apply(params, stats, x):
    ...     batch = {"mean": x.mean(0), "var": x.var(0)}
    ...     return jax.tree.map(lambda old, new: 0.99 * old + 0.01 * new, stats, batch)
    >>> x = jnp.arange(8.0).reshape(4, 2, 1)
    >>> stats = recompute_batch_stats(apply, {}, {"mean": jnp.zeros(1), "var": jnp.ones(1)}, x)
    >>> [round(float(s[0]), 4) for s in stats.values()]  # of 0, 1, ..., 7
    [3.5, 5.25]
    """
    _check_statistics(batch_stats)
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(batches)]
    if len({shape[:1] for shape in shapes}) != 1 or 0 in shapes[0][:1] or () in shapes:
        raise ValueError(f"batches must be stacked along a first axis of length k, got {shapes}")

    def measure(batch: Any) -> Any:
        return _measured(lambda statistics: apply(params, statistics, batch), batch_stats)

    return merge_batch_stats(jax.lax.map(measure, batches), axis_name)


def merge_batch_stats(by_batch: Any, axis_name: str | None = None) -> Any:
    r"""Combines the BatchNorm statistics of batches of equal size into those of all samples.

    The last step of `recompute_batch_stats`, for callers that run the batches from the host: on
    the CPU, XLA runs convolutions inside loops 10 to 50 times slower.

    Args:
      by_batch: means and variances of k batches, floating leaves [k, ...] in pairs named `mean`
        and `var`, such as `recompute_batch_stats` returns for single batches.
      axis_name: mapped axis over which the batches are split, if any.

    Returns:
      A tree like by_batch, without its leading axis.

    Raises:
      ValueError: by_batch is empty or has other leaves.

    >>> halves = {"mean": jnp.array([0.5, 2.5]), "var": jnp.array([0.25, 0.25])}
    >>> [float(x) for x in merge_batch_stats(halves).values()]  # of 0, 1 and of 2, 3
    [1.5, 1.25]
    """
    _check_statistics(by_batch)

    def average(x: jax.Array) -> jax.Array:
        x = jnp.mean(x, 0)
        return x if axis_name is None else jax.lax.pmean(x, axis_name)

    leaves = dict(_trees.named_leaves(by_batch))

    def total(path: tuple[Any, ...], x: jax.Array) -> jax.Array:
        parent, slash, kind = _trees.leaf_name(path).rpartition("/")
        if kind == "mean":
            return average(x)
        means = leaves[f"{parent}{slash}mean"]
        return average(x) + average((means - average(means)[None]) ** 2)

    return jax.tree_util.tree_map_with_path(total, by_batch)


def _check_statistics(batch_stats: Any) -> None:
    names = {name for name, _ in _trees.named_leaves(batch_stats)}
    if not names:
        raise ValueError("batch_stats is empty: the network has no BatchNorm statistics")
    for name in sorted(names):
        parent, slash, kind = name.rpartition("/")
        if kind not in ("mean", "var") or f"{parent}{slash}mean" not in names:
            raise ValueError(
                f"batch_stats must have leaves in pairs named mean and var, got {name}"
            )


def _measured(update: Callable[[Any], Any], batch_stats: Any) -> Any:
    """Statistics of one batch, solved from `new = m old + (1 - m) batch`."""

    def checked(old: Any) -> Any:
        new = update(old)
        _trees.check_same("batch_stats", old, "what apply returns", new)
        pairs = zip(_trees.named_leaves(old), jax.tree.leaves(new), strict=True)
        for (name, before), after in pairs:
            if after is before:
                raise ValueError(f"apply must run in training mode, but it left {name} unchanged")
        return new

    zeros = jax.tree.map(jnp.zeros_like, batch_stats)
    ones = jax.tree.map(jnp.ones_like, batch_stats)
    scaled, momentum = jax.jvp(checked, (zeros,), (ones,))
    return jax.tree.map(lambda x, m: x / _complement(m), scaled, momentum)


def _complement(momentum: jax.Array) -> jax.Array:
    """1 - m without the rounding error of m, if m has at most six decimals, such as 0.999."""
    scaled = 1e6 * momentum
    decimal = jnp.round(scaled)
    is_decimal = jnp.abs(scaled - decimal) < 1e6 * np.finfo(momentum.dtype).eps
    return jnp.where(is_decimal, (1e6 - decimal) / 1e6, 1 - momentum)
