"""Magnitude pruning: masks, and an optimiser that keeps masked weights at exactly zero."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from infojax import _trees
from infojax.methods import _selection

Mask = Any  # a tree like the parameters: bool arrays of their shapes, False where pruned
Prunable = Callable[[str, jax.Array], bool]


def is_kernel(path: str, leaf: jax.Array) -> bool:
    """Whether a leaf has two or more dimensions: true of kernels, not of biases and BatchNorm.

    The default for `prunable`, and a building block for others: `lambda path, leaf:
    is_kernel(path, leaf) and not path.startswith("head")`.

    Args:
      path: name of the leaf, such as "Conv_0/kernel".
      leaf: the parameter.
    """
    return jnp.ndim(leaf) >= 2


def magnitude_mask(params: Any, sparsity: ArrayLike, prunable: Prunable = is_kernel) -> Mask:
    """Mask of global magnitude pruning: removes the floor(s n) smallest of n prunable weights.

    All prunable leaves are ranked together by absolute value. Of equal weights, the first in the
    order of the flattened tree are pruned first. Masks of one tree are nested: the weights kept at
    a larger s are a subset of those kept at a smaller s.

    One compilation serves all sparsities. A mask takes about 40 passes over the weights (0.02 s
    for 1.5 million weights on two cores).

    Args:
      params: any tree of floating arrays, not replicated over devices.
      sparsity: s in [0, 1), one number. The product s n is rounded in double precision for a
        Python number, and in the precision of s for an array. Under jit, where s cannot be
        checked, s < 0 or NaN prunes nothing and s >= 1 everything.
      prunable: `prunable(path, leaf)` tells which leaves may be pruned; static.

    Returns:
      A tree of bool arrays like params, True where the weight is kept, which includes all leaves
      that are not prunable. NaN counts as inf, the largest magnitude: it is pruned last, so it
      stays visible.

    Raises:
      ValueError: s is outside [0, 1); no leaf is prunable; a prunable leaf is not floating.

    References:
      Han et al. 2015, section 3.

    >>> params = {"kernel": jnp.array([[3.0, -1.0], [1.0, -2.0]]), "bias": jnp.zeros(2)}
    >>> magnitude_mask(params, 0.25)["kernel"].tolist()
    [[True, False], [True, True]]
    """
    chosen = _chosen(params, prunable)
    for name, leaf in chosen:
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise ValueError(f"{name} cannot be pruned: {jnp.result_type(leaf)} is not floating")
    scores = _selection.magnitudes([leaf for _, leaf in chosen])
    return _mask(params, prunable, scores, sparsity)


def random_mask(
    key: jax.Array, params: Any, sparsity: ArrayLike, prunable: Prunable = is_kernel
) -> Mask:
    """Mask that prunes as many weights as `magnitude_mask`, drawn uniformly, as a control.

    Args:
      key: random key. Masks of one key are nested, as in `magnitude_mask`.
      params: any tree of arrays; only their shapes are used.
      sparsity: as in `magnitude_mask`.
      prunable: as in `magnitude_mask`.

    Returns:
      A tree of bool arrays like params.

    Raises:
      ValueError: s is outside [0, 1); no leaf is prunable.

    >>> mask = random_mask(jax.random.key(0), {"kernel": jnp.ones((5, 7))}, 0.9)
    >>> int(mask["kernel"].sum())  # 35 - floor(31.5)
    4
    """
    shapes = [jnp.shape(leaf) for _, leaf in _chosen(params, prunable)]
    draws = [
        jax.random.bits(leaf_key, shape, jnp.uint32) >> 1
        for leaf_key, shape in zip(jax.random.split(key, len(shapes)), shapes, strict=True)
    ]
    return _mask(params, prunable, [x.astype(jnp.int32) for x in draws], sparsity)


def apply_mask(tree: Any, mask: Mask) -> Any:
    """Sets parameters, or a tree like them, to 0 where the mask is False, even from NaN.

    Raises:
      ValueError: tree and mask differ in structure, or in the shape of a leaf, which the message
        names.

    >>> apply_mask([jnp.array([jnp.nan, 2.0])], [jnp.array([False, True])])[0].tolist()
    [0.0, 2.0]
    """
    _trees.check_same("the tree", tree, "mask", mask)
    return jax.tree.map(lambda x, m: jnp.where(m, x, jnp.zeros_like(x)), tree, mask)


def sparsity(tree: Any, prunable: Prunable = is_kernel) -> jax.Array:
    """Share of zeros in the prunable leaves of parameters or of a mask, float32 [].

    Raises:
      ValueError: no leaf is prunable.

    >>> float(sparsity({"kernel": jnp.eye(2), "bias": jnp.ones(2)}))
    0.5
    """
    leaves = [leaf for _, leaf in _chosen(tree, prunable)]
    zeros = jnp.stack([jnp.sum(~jnp.asarray(leaf).astype(bool)) for leaf in leaves])
    return jnp.sum(zeros).astype(jnp.float32) / sum(np.size(leaf) for leaf in leaves)


def gradual_sparsity(
    step: ArrayLike, end: int, final: float, begin: int = 0, initial: float = 0.0
) -> Any:
    r"""Cubic sparsity schedule for pruning during training: fast at first, slow at the end.

    .. math:: s_t = s_f + (s_i - s_f) \left(1 - \frac{t - t_0}{t_1 - t_0}\right)^3

    Args:
      step: t, integer []; may be traced.
      end: t_1; the sparsity is `final` from there.
      final: s_f in [0, 1).
      begin: t_0 < t_1; the sparsity is `initial` up to there.
      initial: s_i in [0, 1).

    Returns:
      Sparsity []: a double-precision number if step is a Python number, a float32 array if step is
      an array; exact at both ends.

    Raises:
      ValueError: begin is not before end, or a sparsity is outside [0, 1).

    References:
      Zhu & Gupta 2017, equation 1.

    >>> [float(gradual_sparsity(t, 10, 0.8)) for t in (0, 5, 10, 99)]
    [0.0, 0.7000000000000001, 0.8, 0.8]
    """
    if begin >= end:
        raise ValueError(f"begin must be before end, got {begin} and {end}")
    for name, value in (("initial", initial), ("final", final)):
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be in [0, 1), got {value}")
    xp = jnp if isinstance(step, jax.Array) else np
    left = (1 - xp.clip((step - begin) / (end - begin), 0, 1)) ** 3
    return initial * left + final * (1 - left)


class MaskedState(NamedTuple):
    """State of `masked`.

    Attributes:
      mask: a tree of bool arrays like the parameters, False where they are held at zero.
      inner: state of the wrapped optimiser.
    """

    mask: Mask
    inner: optax.OptState


def masked(
    optimizer: optax.GradientTransformation, mask: Mask
) -> optax.GradientTransformationExtraArgs:
    """Wraps an optimiser so that masked weights stay at exactly zero.

    The wrapped optimiser receives zero for the gradients and values of masked weights, so their
    momentum, including its weight decay, stays zero. Whatever it returns, their update is minus
    their value: after one update they are zero, even if they were not before.

    The mask is part of the state, so one compiled training step serves every mask, and checkpoints
    include it; `with_mask` replaces it.

    Args:
      optimizer: any gradient transformation whose output is added to the parameters. One that
        combines weights (clipping by global norm) sees zeros for masked weights.
      mask: initial mask, a tree of bool arrays like the parameters.

    Returns:
      A gradient transformation with state `MaskedState`; its update requires the parameters.

    Raises:
      ValueError: (at init) mask and parameters differ; (at update) the parameters are missing.

    >>> params, mask = {"w": jnp.array([1.0, 2.0])}, {"w": jnp.array([True, False])}
    >>> optimizer = masked(optax.sgd(0.5, momentum=0.9), mask)
    >>> updates, state = optimizer.update(params, optimizer.init(params), params)
    >>> optax.apply_updates(params, updates)["w"].tolist()
    [0.5, 0.0]
    """
    inner = optax.with_extra_args_support(optimizer)

    def init(params: optax.Params) -> MaskedState:
        _trees.check_same("params", params, "mask", mask)
        return MaskedState(_copied(mask), inner.init(params))

    def update(
        updates: optax.Updates,
        state: MaskedState,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, MaskedState]:
        if params is None:
            raise ValueError(
                "masked requires the parameters: optimizer.update(updates, state, params)"
            )
        updates, inner_state = inner.update(
            apply_mask(updates, state.mask),
            state.inner,
            apply_mask(params, state.mask),
            **extra_args,
        )
        updates = jax.tree.map(
            lambda m, u, p: jnp.where(m, u, -p.astype(u.dtype)), state.mask, updates, params
        )
        return updates, MaskedState(state.mask, inner_state)

    return optax.GradientTransformationExtraArgs(init, update)


def with_mask(state: MaskedState, mask: Mask) -> MaskedState:
    """Replaces the mask in the state of `masked`, and zeroes the momentum where it is False.

    A floating array in the state of the optimiser counts as momentum if its path ends in the path
    of a parameter and it has that parameter's shape. A weight that the new mask restores starts
    from 0 without momentum.

    Args:
      state: state of the masked optimiser, not replicated over devices.
      mask: a tree of bool arrays like the parameters.

    Returns:
      A new state. The function is pure and may be jitted.

    Raises:
      ValueError: state is not a `MaskedState`, or mask differs from its mask in structure or shape.

    >>> params, mask = {"w": jnp.ones(2)}, {"w": jnp.array([True, True])}
    >>> state = masked(optax.sgd(0.1, momentum=0.9), mask).init(params)
    >>> with_mask(state, {"w": jnp.array([True, False])}).mask["w"].tolist()
    [True, False]
    """
    if not isinstance(state, MaskedState):
        raise ValueError(f"state must be a pruning.MaskedState, got {type(state).__name__}")
    _trees.check_same("the state's mask", state.mask, "mask", mask)
    masks = dict(jax.tree_util.tree_leaves_with_path(mask))

    def held(path: tuple[Any, ...], x: Any) -> Any:
        ends = (path[start:] for start in range(len(path) + 1))
        m = next((masks[end] for end in ends if end in masks), None)
        if m is None or m.shape != jnp.shape(x):
            return x
        is_momentum = jnp.issubdtype(jnp.result_type(x), jnp.inexact)
        return jnp.where(m, x, jnp.zeros_like(x)) if is_momentum else x

    return MaskedState(_copied(mask), jax.tree_util.tree_map_with_path(held, state.inner))


def _copied(mask: Mask) -> Mask:
    """Copies the mask, so that donating the state to a step does not delete the caller's mask."""
    return jax.tree.map(lambda m: jnp.array(m, bool), mask)


def _chosen(tree: Any, prunable: Prunable) -> list[tuple[str, Any]]:
    """Names of the prunable leaves and the leaves, in the order of the flattened tree."""
    chosen = [(name, leaf) for name, leaf in _trees.named_leaves(tree) if prunable(name, leaf)]
    if not chosen:
        names = ", ".join(name or "the array" for name, _ in _trees.named_leaves(tree))
        raise ValueError(f"no leaf is prunable among {names or 'none'}")
    return chosen


def _mask(params: Any, prunable: Prunable, scores: list[jax.Array], sparsity: ArrayLike) -> Mask:
    """Mask of params that prunes the lowest scores, non-negative integers per prunable leaf."""
    number = _selection.floor_share(sparsity, sum(x.size for x in scores))
    kept = iter(_selection.keep_largest(scores, number))
    masks = [
        next(kept) if prunable(name, leaf) else jnp.ones(jnp.shape(leaf), bool)
        for name, leaf in _trees.named_leaves(params)
    ]
    return jax.tree.unflatten(jax.tree.structure(params), masks)
